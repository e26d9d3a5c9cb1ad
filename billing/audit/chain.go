package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"tallyroute/billing"
)

// sealed is what the hash of a record covers, in this order. Changing it would break every
// chain.
type sealed struct {
	Previous string            `json:"previous"`
	Seq      int64             `json:"seq"`
	At       string            `json:"at"`
	Actor    string            `json:"actor"`
	Role     string            `json:"role"`
	Source   string            `json:"source"`
	Action   string            `json:"action"`
	Object   string            `json:"object"`
	Outcome  string            `json:"outcome"`
	Reason   string            `json:"reason"`
	Detail   map[string]string `json:"detail"`
}

// Hash returns the SHA-256, in hexadecimal, of a record and the previous hash: of the JSON
// object with the members previous, seq, at, actor, role, source, action, object, outcome,
// reason and detail, in this order and without white space; the members of detail are
// sorted.
func Hash(previous string, c billing.Change) string {
	if c.Detail == nil {
		c.Detail = map[string]string{}
	}
	text, err := json.Marshal(sealed{
		previous, c.Seq, c.At.UTC().Format(time.RFC3339Nano), c.Actor, c.Role, c.Source, c.Action, c.Object, string(c.Outcome), c.Reason,
		c.Detail,
	})
	if err != nil { // it contains only text, so this can't fail
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Seal returns a record with its place in the chain, following the last one.
func Seal(c billing.Change, last billing.AuditMark) billing.Change {
	c.Seq = last.Seq + 1
	c.Hash = Hash(last.Hash, c)
	return c
}

// Report is the result of a verification.
type Report struct {
	Records  int64             // linked to the one before them
	Unlinked int64             // written before there was a chain
	Last     billing.AuditMark // the last correct record
	Fault    *Fault            // the first; nil if the log is intact
}

// Fault is the first place where a log isn't what was originally written.
type Fault struct {
	Seq  int64  // of the record, or of the missing one
	Kind string // altered, missing, cut, forged
	Text string
}

func (f *Fault) Error() string { return fmt.Sprintf("record %d is %s: %s", f.Seq, f.Kind, f.Text) }

// Verifier verifies a chain record by record.
type Verifier struct {
	report Report
	marks  map[int64]string // according to checkpoints
}

// NewVerifier verifies a chain from the record after first. The marks, for which somebody
// vouches, are compared as the verification reaches them.
func NewVerifier(first billing.AuditMark, marks ...billing.AuditMark) *Verifier {
	v := &Verifier{report: Report{Last: first}, marks: make(map[int64]string)}
	for _, m := range marks {
		v.marks[m.Seq] = m.Hash
	}
	return v
}

// Add verifies the next record, in the order of the log.
func (v *Verifier) Add(c billing.Change) {
	r := &v.report
	switch {
	case r.Fault != nil:
	case c.Seq == 0:
		r.Unlinked++
	case c.Seq > r.Last.Seq+1:
		r.Fault = &Fault{r.Last.Seq + 1, "missing", fmt.Sprintf("after record %d comes record %d", r.Last.Seq, c.Seq)}
	case c.Seq <= r.Last.Seq:
		r.Fault = &Fault{c.Seq, "moved", fmt.Sprintf("it comes after record %d", r.Last.Seq)}
	case Hash(r.Last.Hash, c) != c.Hash:
		r.Fault = &Fault{c.Seq, "altered", "its hash is not that of its content and of the record before it"}
	default:
		if marked, ok := v.marks[c.Seq]; ok && marked != c.Hash {
			r.Fault = &Fault{c.Seq, "forged", "its hash is not the one that a checkpoint has"}
			return
		}
		r.Records++
		r.Last = billing.AuditMark{Seq: c.Seq, Hash: c.Hash}
	}
}

// End is called after the last record. last is what the log itself claims to be its last
// record; the zero value claims nothing.
func (v *Verifier) End(last billing.AuditMark) Report {
	r := &v.report
	if r.Fault != nil {
		return *r
	}
	furthest := last
	for seq, hash := range v.marks {
		if seq > furthest.Seq {
			furthest = billing.AuditMark{Seq: seq, Hash: hash}
		}
	}
	switch {
	case furthest.Seq > r.Last.Seq:
		r.Fault = &Fault{r.Last.Seq + 1, "missing", fmt.Sprintf("the log ends with record %d and went on to %d", r.Last.Seq, furthest.Seq)}
	case last.Seq != 0 && last != r.Last:
		r.Fault = &Fault{r.Last.Seq, "altered", "it is not the record that the log was ended with"}
	}
	return *r
}
