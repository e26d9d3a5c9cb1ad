package certificate

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallyroute/router/certificate/certtest"
)

const year = 365 * 24 * time.Hour

// shown returns the name of the certificate that a client is shown, if both sides agree.
func shown(t *testing.T, k *Keeper, client *tls.Config) (string, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			defer func() { _ = c.Close() }()
			err = tls.Server(c, k.Config()).Handshake()
		}
		served <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	asks := tls.Client(c, client)
	if err := asks.Handshake(); err != nil {
		_ = c.Close()
		<-served
		return "", err
	}
	if err := <-served; err != nil {
		return "", err
	}
	return asks.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestCertificateIsTakenWhenItsFilesChangeAndNotWhileTheyAreBad(t *testing.T) {
	dir, ca := t.TempDir(), certtest.New(t)
	cert, key := ca.Leaf(t, "one", time.Now().Add(year)).Write(t, dir)
	k, err := Open(Files{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	trusts := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
	expect := func(what, name string) {
		t.Helper()
		if got, err := shown(t, k, trusts); got != name || err != nil {
			t.Errorf("%s: %q was shown, want %q: %v", what, got, name, err)
		}
	}
	expect("at the start", "one")

	two := ca.Leaf(t, "two", time.Now().Add(year))
	if err := os.WriteFile(cert, two.Cert, 0o600); err != nil {
		t.Fatal(err)
	}
	if read, err := k.Look(); read || err != nil {
		t.Errorf("read at the first look: %v, %v", read, err)
	}
	if read, err := k.Look(); !read || err == nil || !strings.Contains(err.Error(), "private key does not match") {
		t.Errorf("a certificate with the key of another: %v, %v", read, err)
	}
	expect("while the pair does not match", "one")
	if k.Err() == nil {
		t.Error("nobody knows that the files are not in use")
	}
	two.Write(t, dir)
	k.Look()
	if read, err := k.Look(); !read || err != nil || k.Err() != nil {
		t.Errorf("a good pair: %v, %v, %v", read, err, k.Err())
	}
	expect("a good pair", "two")

	for what, bad := range map[string]certtest.Leaf{
		"expired":        ca.Leaf(t, "old", time.Now().Add(-time.Minute)),
		"empty":          {},
		"no certificate": {Cert: []byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"), Key: two.Key},
	} {
		bad.Write(t, dir)
		k.Look()
		if read, err := k.Look(); !read || err == nil {
			t.Errorf("%s: %v, %v", what, read, err)
		}
		expect(what, "two")
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	k.Look()
	if _, err := k.Look(); err == nil {
		t.Error("no file: no error")
	}
	expect("no file", "two")
}

func TestCertificateThatIsNotValidTodayIsRefusedAtTheStart(t *testing.T) {
	cert, key := certtest.New(t).Leaf(t, "old", time.Now().Add(-time.Hour)).Write(t, t.TempDir())
	if _, err := Open(Files{Cert: cert, Key: key}); err == nil || !strings.Contains(err.Error(), "expired on") {
		t.Errorf("one that has expired: %v", err)
	}
}

// Kubernetes mounts a secret as links into a folder that is itself a link, and swaps that link.
func TestCertificateOfAKubernetesMountIsTakenWhenTheLinkIsSwapped(t *testing.T) {
	dir, ca := t.TempDir(), certtest.New(t)
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, "..version_"+name), 0o700); err != nil {
			t.Fatal(err)
		}
		ca.Leaf(t, name, time.Now().Add(year)).Write(t, filepath.Join(dir, "..version_"+name))
	}
	link := func(to, at string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
			t.Fatal(err)
		}
	}
	link("..version_one", "..data")
	link("..data/tls.crt", "tls.crt")
	link("..data/tls.key", "tls.key")
	k, err := Open(Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")})
	if err != nil {
		t.Fatal(err)
	}
	link("..version_two", "..data_tmp")
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	k.Look()
	k.Look()
	if got, err := shown(t, k, &tls.Config{RootCAs: ca.Pool(), ServerName: "two"}); got != "two" || err != nil {
		t.Errorf("%q was shown: %v", got, err)
	}
}

func TestOnlyModernTLSIsSpoken(t *testing.T) {
	ca := certtest.New(t)
	cert, key := ca.Leaf(t, "one", time.Now().Add(year)).Write(t, t.TempDir())
	k, err := Open(Files{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	strict, err := Open(Files{Cert: cert, Key: key, Oldest: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		k      *Keeper
		client *tls.Config
		ok     bool
	}{
		{"TLS 1.1", k, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{"TLS 1.2", k, &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{
			"TLS 1.2 by CBC", k, &tls.Config{
				MaxVersion:   tls.VersionTLS12,
				CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA},
			},
			false,
		},
		{
			"TLS 1.2 by RSA", k, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
			false,
		},
		{"TLS 1.3", k, &tls.Config{MinVersion: tls.VersionTLS13}, true},
		{"TLS 1.2 where 1.3 is the oldest", strict, &tls.Config{MaxVersion: tls.VersionTLS12}, false},
	} {
		c.client.RootCAs, c.client.ServerName = ca.Pool(), "localhost"
		if _, err := shown(t, c.k, c.client); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestClientsNeedACertificateOfTheAuthority(t *testing.T) {
	dir, ca, other := t.TempDir(), certtest.New(t), certtest.New(t)
	cert, key := ca.Leaf(t, "one", time.Now().Add(year)).Write(t, dir)
	authorities := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(authorities, ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := Open(Files{Cert: cert, Key: key, ClientCA: authorities})
	if err != nil {
		t.Fatal(err)
	}
	with := func(leaf certtest.Leaf) error {
		t.Helper()
		c := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
		if leaf.Cert != nil {
			pair, err := tls.X509KeyPair(leaf.Cert, leaf.Key)
			if err != nil {
				t.Fatal(err)
			}
			// Presented whatever the server asks for, so that the server is the one to refuse it.
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		_, err := shown(t, k, c)
		return err
	}
	ours, theirs := ca.Leaf(t, "ops", time.Now().Add(year)), other.Leaf(t, "eve", time.Now().Add(year))
	if err := with(ours); err != nil {
		t.Errorf("a certificate of the authority: %v", err)
	}
	if with(certtest.Leaf{}) == nil || with(theirs) == nil {
		t.Error("a client was let in without a certificate of the authority")
	}
	if err := os.WriteFile(authorities, other.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	k.Look()
	k.Look()
	if with(ours) == nil || with(theirs) != nil {
		t.Error("another authority is not taken up")
	}
}

func TestPinnedCertificateIsTheOnlyOneThatIsTrusted(t *testing.T) {
	dir, ca := t.TempDir(), certtest.New(t)
	cert, key := ca.Leaf(t, "one", time.Now().Add(year)).Write(t, dir)
	k, err := Open(Files{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	pinned, err := Pin(cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shown(t, k, pinned); err != nil {
		t.Errorf("its own: %v", err)
	}
	other, _ := ca.Leaf(t, "one", time.Now().Add(year)).Write(t, t.TempDir())
	if pinned, err = Pin(other); err != nil {
		t.Fatal(err)
	}
	if _, err := shown(t, k, pinned); err == nil {
		t.Error("another one of the same name and authority was trusted")
	}
}
