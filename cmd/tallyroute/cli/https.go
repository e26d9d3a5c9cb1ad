package cli

import (
	"net/http"

	"tallyroute/cmd/tallyroute/app"
	"tallyroute/router/certificate"
)

// Transport returns a transport for calling routers by address.
func (a *Context) Transport() (*http.Transport, error) {
	settings, err := certificate.Trust(a.Trust.CAFile, certificate.Files{Cert: a.Trust.ClientCert, Key: a.Trust.ClientKey})
	if err != nil {
		return nil, Usage(err)
	}
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the library says so
	t.TLSClientConfig = settings
	return t, nil
}

// Reach returns the address of a router and the transport to call it with: the named
// router, or else the public listener of the configuration.
func (a *Context) Reach(named string) (base string, by http.RoundTripper, err error) {
	if named != "" {
		by, err = a.Transport()
		return named, by, err
	}
	cfg, err := a.Config()
	if err != nil {
		return "", nil, err
	}
	return app.PublicURL(cfg), app.OwnTransport(cfg.TLS.CertFile), nil
}
