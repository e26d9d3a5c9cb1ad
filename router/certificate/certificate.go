// Package certificate keeps the certificates of listeners current: they are read again
// when their files change, and a pair that is bad leaves the one before in use.
package certificate

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Files are where a listener's certificate is, in PEM.
type Files struct {
	Cert, Key string // the chain, its leaf first, and the key of the leaf
	ClientCA  string // authorities that the certificates of clients are checked by; "" asks clients for none
	Oldest    uint16 // version of TLS; 0 is 1.2
}

// names are those of all files.
func (f Files) names() []string {
	if f.ClientCA == "" {
		return []string{f.Cert, f.Key}
	}
	return []string{f.Cert, f.Key, f.ClientCA}
}

// Pair is a certificate that is in use.
type Pair struct {
	Subject string
	Names   []string // hosts and addresses that the leaf is for
	From    time.Time
	Until   time.Time // when the first of the chain expires
	Leaf    time.Time // when the leaf does
	config  *tls.Config
}

// Read reads a certificate once, and refuses what cannot be served.
func Read(f Files) (*Pair, error) {
	certs, err := readFile(f.Cert)
	if err != nil {
		return nil, err
	}
	key, err := readFile(f.Key)
	if err != nil {
		return nil, err
	}
	both, err := tls.X509KeyPair(certs, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", f.Cert, f.Key, told(err))
	}
	chain, err := Parse(certs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Cert, err)
	}
	leaf := chain[0]
	p := &Pair{Subject: leaf.Subject.String(), Names: namesOf(leaf), From: leaf.NotBefore, Until: leaf.NotAfter, Leaf: leaf.NotAfter}
	p.config = settings(f.Oldest)
	p.config.Certificates = []tls.Certificate{both}
	if f.ClientCA != "" {
		text, err := readFile(f.ClientCA)
		if err != nil {
			return nil, err
		}
		trusted, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.ClientCA, err)
		}
		p.config.ClientAuth, p.config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		for _, ca := range trusted {
			p.config.ClientCAs.AddCert(ca)
		}
	}
	for _, c := range chain {
		if c.NotAfter.Before(p.Until) {
			p.Until = c.NotAfter
		}
	}
	return p, nil
}

// inForce refuses a certificate that no client would take.
func (p *Pair) inForce(now time.Time) error {
	switch {
	case now.After(p.Leaf):
		return fmt.Errorf("the certificate expired on %s", p.Leaf.UTC().Format(time.RFC3339))
	case now.Add(time.Minute).Before(p.From):
		return fmt.Errorf("the certificate is not valid before %s", p.From.UTC().Format(time.RFC3339))
	}
	return nil
}

// settings are those of all listeners: of TLS 1.2 only what is secret for good and
// authenticated; what there is in 1.3 is.
func settings(oldest uint16) *tls.Config {
	return &tls.Config{
		MinVersion: max(oldest, tls.VersionTLS12),
		NextProtos: []string{"h2", "http/1.1"},
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}

// mostBytes is more than any chain of certificates has.
const mostBytes = 1 << 20

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is not a file", name), err)
	}
	text, err := io.ReadAll(io.LimitReader(f, mostBytes+1))
	if err == nil && len(text) > mostBytes {
		err = fmt.Errorf("%s has more than %d bytes", name, mostBytes)
	}
	return text, err
}

// told is an error of the library without its name.
func told(err error) error {
	text := bytes.TrimPrefix([]byte(err.Error()), []byte("tls: "))
	return errors.New(string(text))
}

// ErrNone is a text without a certificate.
var ErrNone = errors.New("there is no certificate in PEM")

// Parse reads all certificates of a text in PEM, of which there must be one.
func Parse(text []byte) (all []*x509.Certificate, err error) {
	for len(text) > 0 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, ErrNone
	}
	return all, nil
}

func namesOf(c *x509.Certificate) []string {
	names := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// Chain is the certificates of a file in PEM.
func Chain(name string) ([]*x509.Certificate, error) {
	text, err := readFile(name)
	if err != nil {
		return nil, err
	}
	return Parse(text)
}

// Keeper has the certificate of a listener, and reads it again when it changes.
type Keeper struct {
	files   Files
	current atomic.Pointer[Pair]

	mu         sync.Mutex
	seen, read digest // what the files had at the last look, and when they were read last
	err        error  // why that was not taken
}

// Open reads the certificate of a listener, and refuses one that no client would take.
func Open(f Files) (*Keeper, error) {
	k := &Keeper{files: f}
	k.read = digestOf(f.names())
	k.seen = k.read
	p, err := Read(f)
	if err == nil {
		err = p.inForce(time.Now())
	}
	if err != nil {
		return nil, err
	}
	k.current.Store(p)
	return k, nil
}

// Config is what a listener serves by. New connections get what is in use then.
func (k *Keeper) Config() *tls.Config {
	c := settings(k.files.Oldest)
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.current.Load().config, nil }
	return c
}

// Current is the certificate in use.
func (k *Keeper) Current() *Pair { return k.current.Load() }

// Files are where it was read from.
func (k *Keeper) Files() Files { return k.files }

// Err is why the files that there are now are not what is in use; nil where they are.
func (k *Keeper) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Look reads the files again where they have changed since they were read and are the
// same as at the last look, so that nothing is read that is half written. It reports
// whether they were.
func (k *Keeper) Look() (read bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.seen
	k.seen = digestOf(k.files.names())
	if k.seen == k.read || k.seen != before {
		return false, nil
	}
	k.read = k.seen
	p, err := Read(k.files)
	if err == nil {
		err = p.inForce(time.Now())
	}
	if k.err = err; err == nil {
		k.current.Store(p)
	}
	return true, err
}

// digest tells what files hold from anything else that they may hold.
type digest [sha256.Size]byte

// digestOf goes by what files hold, whatever they are linked to: Kubernetes swaps a link
// to the folder that they are in.
func digestOf(names []string) digest {
	sum := sha256.New()
	for _, name := range names {
		text, err := readFile(name)
		one := sha256.Sum256(text)
		sum.Write(one[:])
		if err != nil {
			sum.Write([]byte{1})
		}
	}
	return digest(sum.Sum(nil))
}
