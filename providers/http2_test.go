package providers_test

import (
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"tallyroute/providers"
	pt "tallyroute/providers/providertest"
)

// Most providers speak HTTP/2, where a call is a stream on a shared connection.
func TestHTTP2(t *testing.T) {
	list := words()
	gone := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("%s is spoken", r.Proto)
		}
		flush := func(text string) {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		}
		switch r.URL.Path {
		case "/plain/chat/completions":
			flush(pt.Completion("m", "hello", 1, 1))
		case "/stream/chat/completions":
			for _, d := range list {
				flush("data: " + d + "\n\n")
			}
			flush("data: [DONE]\n\n")
		case "/cut/chat/completions":
			flush("data: " + list[1] + "\n\n")
			panic(http.ErrAbortHandler)
		case "/hang/chat/completions":
			flush("data: " + list[1] + "\n\n")
			<-r.Context().Done()
			close(gone)
		}
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a client that distrusts us is part of the test
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c := client(t, providers.Options{RootCAs: roots})
	call := func(path, body string) providers.Exchange {
		x := exchange(t, pt.NewUpstream(t), body)
		x.Target.BaseURL = server.URL + path
		return x
	}

	if a := succeeds(t, c, call("/plain", ask)); a.Response.Text != "hello" {
		t.Errorf("%+v", a.Response)
	}
	a := succeeds(t, c, call("/stream", askStream))
	if got, err := rest(a.Stream); !errors.Is(err, io.EOF) || !slices.Equal(got, list) {
		t.Errorf("%v, %q", err, got)
	}
	a = succeeds(t, c, call("/cut", askStream))
	if got, err := rest(a.Stream); len(got) != 1 || asError(t, err).Kind.Failover() == false {
		t.Errorf("%v, %q", err, got)
	}
	a = succeeds(t, c, call("/hang", askStream))
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	pt.Await(t, "the server's notice", gone)

	strict := client(t, providers.Options{})
	if e := fails(t, strict, call("/plain", ask)); e.Kind != providers.KindNetwork {
		t.Errorf("an unknown certificate: %v", e)
	}
}
