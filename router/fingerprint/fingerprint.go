// Package fingerprint recognises requests that are the same, or begin alike, without keeping
// anything of them.
//
// A fingerprint is a keyed hash. Its key belongs to one project and one UTC month, and is
// derived from a secret of the installation: fingerprints from two projects or months have
// nothing in common, and without the secret nobody can test a text against one. With the
// secret, which whoever runs the router has, a guessed text can be confirmed.
//
// The hash is computed over the bytes that the client sent. It begins with the model and the
// tools; then follows a chain, message by message, in which each link is a prefix: the
// beginning and all messages up to that one. Of a longer chain, the first mostFirst and the
// last mostLast links are kept. The fingerprint is the last link together with all other
// members, sorted by name, except those in aside: they say how an answer is sent, to whom, or
// what to call it. The order of members does not matter; white space inside a value does.
//
// A link is AES(k2, GMAC(k1, nonce = the previous link, data)): a universal hash whose value is
// never seen, under a pseudorandom permutation. That is a pseudorandom function as strong as
// AES up to about 2^48 links of one project and month, and much faster than an HMAC if the
// processor has no instructions for SHA-256. 48 bits of each link are kept, and 72 of the last:
// enough to tell things apart, not to prove that they are the same.
package fingerprint

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"tallyroute/billing"
	"tallyroute/providers/chat"
)

// Sizes of what is kept.
const (
	size      = 12 // of a fingerprint: its version, the month, and 9 bytes of the last link
	version   = 1
	mostFirst = 2
	mostLast  = 6
	mostKeys  = 10_000 // projects whose keys are remembered
)

// aside lists members that do not change what is asked.
var aside = map[string]bool{
	"messages": true, "model": true, "tools": true, // are in the chain
	"stream": true, "stream_options": true, "user": true, "safety_identifier": true, "metadata": true, "store": true,
	"prompt_cache_key": true, "prompt_cache_retention": true, "session_id": true, "service_tier": true,
}

// Printer makes fingerprints. It is safe for concurrent use.
type Printer struct {
	secret [32]byte
	work   sync.Pool

	mu    sync.RWMutex
	epoch uint16
	keys  map[string]*keys // by project, for the epoch
}

// New returns a printer that uses a secret of the installation.
func New(secret [32]byte) *Printer {
	return &Printer{secret: secret, keys: make(map[string]*keys), work: sync.Pool{New: func() any { return new(work) }}}
}

// keys are the keys of one project and month.
type keys struct {
	hash cipher.AEAD
	link cipher.Block
}

// work is the state needed to make one fingerprint.
type work struct {
	link    [aes.BlockSize]byte
	tag     [aes.BlockSize]byte
	text    []byte
	members []member
}

type member struct{ name, value []byte }

// Of returns the fingerprint of a project's request, and its prefixes, billing.PrefixSize bytes
// each.
func (p *Printer) Of(project string, at time.Time, r *chat.Request) (whole, prefixes []byte) {
	epoch := epochOf(at)
	k := p.of(project, epoch)
	w := p.work.Get().(*work)
	defer p.work.Put(w)
	w.begin(k, r)
	prefixes = w.chain(k, r)
	w.end(k, r)
	whole = make([]byte, size)
	whole[0] = version
	binary.BigEndian.PutUint16(whole[1:], epoch)
	copy(whole[3:], w.link[:])
	return whole, prefixes
}

// epochOf returns the number of UTC months since the year 2000.
func epochOf(at time.Time) uint16 {
	at = at.UTC()
	return uint16((at.Year()-2000)*12 + int(at.Month()) - 1)
}

// of returns the keys of a project.
func (p *Printer) of(project string, epoch uint16) *keys {
	p.mu.RLock()
	k, same := p.keys[project], p.epoch == epoch
	p.mu.RUnlock()
	if k != nil && same {
		return k
	}
	k = p.derive(project, epoch)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoch != epoch || len(p.keys) >= mostKeys {
		p.epoch, p.keys = epoch, make(map[string]*keys)
	}
	p.keys[project] = k
	return k
}

func (p *Printer) derive(project string, epoch uint16) *keys {
	mac := hmac.New(sha256.New, p.secret[:])
	mac.Write(binary.BigEndian.AppendUint16(nil, epoch))
	mac.Write([]byte(project))
	sum := mac.Sum(nil)
	hash, err := aes.NewCipher(sum[:16])
	if err != nil {
		panic(err) // for other key lengths only
	}
	link, err := aes.NewCipher(sum[16:])
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(hash)
	if err != nil {
		panic(err) // for other block sizes only
	}
	return &keys{gcm, link}
}

// add appends the next link to the chain.
func (w *work) add(k *keys, data []byte) {
	nonce := w.link[:12]
	k.link.Encrypt(w.link[:], k.hash.Seal(w.tag[:0], nonce, nil, data))
}

// begin starts a chain with the model and the tools.
func (w *work) begin(k *keys, r *chat.Request) {
	w.link = [aes.BlockSize]byte{}
	w.text = w.text[:0]
	w.put(r.Get("model"))
	w.put(r.Tools())
	w.add(k, w.text)
}

// put appends a value preceded by its length.
func (w *work) put(value []byte) {
	w.text = append(binary.AppendUvarint(w.text, uint64(len(value))), value...)
}

// chain links the messages, and returns the first and the last links.
func (w *work) chain(k *keys, r *chat.Request) (prefixes []byte) {
	const most = (mostFirst + mostLast) * billing.PrefixSize
	n := 0
	for m := range r.Messages() {
		w.add(k, m.Raw)
		if n++; prefixes == nil {
			prefixes = make([]byte, 0, most)
		}
		if len(prefixes) == most {
			const from = mostFirst * billing.PrefixSize
			copy(prefixes[from:], prefixes[from+billing.PrefixSize:])
			prefixes = prefixes[:most-billing.PrefixSize]
		}
		prefixes = append(prefixes, w.link[:billing.PrefixSize]...)
	}
	return prefixes
}

// end links all other members.
func (w *work) end(k *keys, r *chat.Request) {
	w.members = w.members[:0]
	for name, value := range r.Members() {
		if !aside[string(name)] {
			w.members = append(w.members, member{name, value})
		}
	}
	slices.SortFunc(w.members, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	w.text = w.text[:0]
	for _, m := range w.members {
		w.put(m.name)
		w.put(m.value)
	}
	clear(w.members)
	w.link[0] ^= 1 // to differ from the link of one more message
	w.add(k, w.text)
	if cap(w.text) > 1<<20 {
		w.text = nil // do not keep the memory of one large request
	}
}
