// Package certificate keeps the certificates of listeners current: they are read again when
// their files change, and if the new pair is bad, the previous one stays in use.
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

// Files says where a listener's certificate is, in PEM format.
type Files struct {
	Cert, Key string // the chain, leaf first, and the key of the leaf
	ClientCA  string // authorities that client certificates are verified against; "" asks clients for none
	Oldest    uint16 // version of TLS; 0 is 1.2
}

// names returns the names of all files.
func (f Files) names() []string {
	if f.ClientCA == "" {
		return []string{f.Cert, f.Key}
	}
	return []string{f.Cert, f.Key, f.ClientCA}
}

// Pair is a certificate in use.
type Pair struct {
	Subject string
	Names   []string // hosts and addresses that the leaf is for
	From    time.Time
	Until   time.Time // when the first certificate of the chain expires
	Leaf    time.Time // when the leaf expires
	config  *tls.Config
}

// Read reads a certificate once. It returns an error if the certificate cannot be served.
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

// inForce returns an error for a certificate that no client would accept.
func (p *Pair) inForce(now time.Time) error {
	switch {
	case now.After(p.Leaf):
		return fmt.Errorf("the certificate expired on %s", p.Leaf.UTC().Format(time.RFC3339))
	case now.Add(time.Minute).Before(p.From):
		return fmt.Errorf("the certificate is not valid before %s", p.From.UTC().Format(time.RFC3339))
	}
	return nil
}

// settings returns the TLS settings of all listeners: for TLS 1.2 only cipher suites with
// forward secrecy and authentication; in TLS 1.3 all have them.
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

// mostBytes is more than the size of any certificate chain.
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

// told strips the library's name from its error.
func told(err error) error {
	text := bytes.TrimPrefix([]byte(err.Error()), []byte("tls: "))
	return errors.New(string(text))
}

// ErrNone says that a text contains no certificate.
var ErrNone = errors.New("there is no certificate in PEM")

// Parse reads all certificates in a PEM text, which must contain at least one.
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

// Chain reads the certificates in a PEM file.
func Chain(name string) ([]*x509.Certificate, error) {
	text, err := readFile(name)
	if err != nil {
		return nil, err
	}
	return Parse(text)
}

// Keeper holds the certificate of a listener, and reads it again when it changes.
type Keeper struct {
	files   Files
	current atomic.Pointer[Pair]

	mu         sync.Mutex
	seen, read digest // contents of the files at the last look, and when they were last read
	err        error  // why the files that were read were not accepted
}

// Open reads the certificate of a listener. It returns an error if no client would accept it.
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

// Config returns the TLS configuration of a listener. New connections get the certificate then
// in use.
func (k *Keeper) Config() *tls.Config {
	c := settings(k.files.Oldest)
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.current.Load().config, nil }
	return c
}

// Current returns the certificate in use.
func (k *Keeper) Current() *Pair { return k.current.Load() }

// Files returns the files that the certificate was read from.
func (k *Keeper) Files() Files { return k.files }

// Err returns why the current files are not in use; nil if they are.
func (k *Keeper) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Look reads the files again if they have changed since they were read and are the same as at
// the last look, so that half-written files are not read. It reports whether they were read.
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

// digest identifies the contents of the files.
type digest [sha256.Size]byte

// digestOf looks at the contents of the files, whatever they are linked to: Kubernetes swaps a
// link to the folder that they are in.
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
