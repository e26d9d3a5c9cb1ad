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
	Seq  int64 // of the record concerned, which may be a missing one; 0 if it never had a place
	Kind FaultKind
	Text string
}

// FaultKind is what happened to a record.
type FaultKind string

// The kinds of faults.
const (
	Altered  FaultKind = "altered"  // its content or its hash
	Missing  FaultKind = "missing"  // it is nowhere in the log
	Moved    FaultKind = "moved"    // it is intact, but elsewhere in the log or under another number
	Repeated FaultKind = "repeated" // another record with its number is in its place
	Added    FaultKind = "added"    // it was never written by the log itself
	Forged   FaultKind = "forged"   // a checkpoint says otherwise
)

func (f *Fault) Error() string {
	if f.Seq == 0 {
		return fmt.Sprintf("a record without a number is %s: %s", f.Kind, f.Text)
	}
	return fmt.Sprintf("record %d is %s: %s", f.Seq, f.Kind, f.Text)
}

// Verifier verifies a chain record by record.
type Verifier struct {
	report   Report
	marks    map[int64]string // according to checkpoints
	first    int64            // the record before the first that is verified
	unlinked int64            // the last ID of records without a place in the chain
	// Of the record where the chain broke, and of the one read last.
	broken, before billing.Change
	read           int // how many were read since, that one included
}

// NewVerifier verifies a chain from the record after first. The marks, for which somebody
// vouches, are compared as the verification reaches them.
func NewVerifier(first billing.AuditMark, marks ...billing.AuditMark) *Verifier {
	v := &Verifier{report: Report{Last: first}, first: first.Seq, marks: make(map[int64]string)}
	for _, m := range marks {
		if v.marks[m.Seq] = m.Hash; m.Seq == first.Seq && m.Hash != first.Hash {
			v.report.Fault = &Fault{m.Seq, Forged, "the log does not begin behind the one that a checkpoint has"}
		}
	}
	return v
}

// Add verifies the next record, in the order of the log.
func (v *Verifier) Add(c billing.Change) {
	r := &v.report
	switch {
	case r.Fault != nil:
		if v.read > 0 {
			v.explain(c)
		}
	case c.Seq == 0:
		r.Unlinked++
		v.unlinked = max(v.unlinked, c.ID)
	case c.ID != 0 && c.ID < v.unlinked:
		r.Fault = &Fault{0, Added, fmt.Sprintf("it is in no chain, and was written after record %d", c.Seq)}
	case c.Seq > r.Last.Seq+1:
		r.Fault = &Fault{r.Last.Seq + 1, Missing, fmt.Sprintf("after record %d comes record %d", r.Last.Seq, c.Seq)}
		v.explain(c)
	case c.Seq <= v.first:
		r.Fault = &Fault{c.Seq, Moved, fmt.Sprintf("it comes after record %d", r.Last.Seq)}
	case c.Seq <= r.Last.Seq:
		r.Fault = &Fault{c.Seq, Repeated, fmt.Sprintf("it is there a second time, after record %d", r.Last.Seq)}
	case Hash(r.Last.Hash, c) != c.Hash:
		r.Fault = &Fault{c.Seq, Altered, "its hash is not that of its content and of the record before it"}
		v.explain(c)
	default:
		if marked, ok := v.marks[c.Seq]; ok && marked != c.Hash {
			r.Fault = &Fault{c.Seq, Forged, "its hash is not the one that a checkpoint has"}
			return
		}
		r.Records++
		r.Last = billing.AuditMark{Seq: c.Seq, Hash: c.Hash}
	}
}

// explain is given the record where the chain broke and those after it, and finds out what
// happened: the record that belongs there may come later, and the record that stands there may
// belong elsewhere.
func (v *Verifier) explain(c billing.Change) {
	f, due := v.report.Fault, v.report.Last.Seq+1
	if v.read++; v.read == 1 {
		v.broken, v.before = c, c
	}
	switch {
	case f.Kind == Moved:
	case follows(v.report.Last.Hash, c, due) && c.Seq != due:
		*f = Fault{due, Moved, fmt.Sprintf("it is numbered %d", c.Seq)}
	case follows(v.report.Last.Hash, c, due) && v.read == 2 && v.broken.Seq > due+1:
		*f = Fault{v.broken.Seq, Moved, fmt.Sprintf("it comes before record %d", due)}
	case follows(v.report.Last.Hash, c, due):
		*f = Fault{due, Moved, fmt.Sprintf("it comes after record %d", v.before.Seq)}
	case v.read == 2 && f.Kind == Altered && follows(v.broken.Hash, c, due+2):
		*f = Fault{due, Missing, "the records after it have other numbers"}
	case v.read == 2 && f.Kind == Altered && follows(v.broken.Hash, c, due) && due > 1:
		*f = Fault{due - 1, Added, "the records after it have other numbers"}
	}
	v.before = c
}

// follows reports whether a record, if it had this number, would be intact behind the one with
// the previous hash.
func follows(previous string, c billing.Change, seq int64) bool {
	c.Seq = seq
	return Hash(previous, c) == c.Hash
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
		r.Fault = &Fault{r.Last.Seq + 1, Missing, fmt.Sprintf("the log ends with record %d and went on to %d", r.Last.Seq, furthest.Seq)}
	case last.Seq != 0 && last.Seq < r.Last.Seq:
		r.Fault = &Fault{last.Seq + 1, Added, fmt.Sprintf("the log was ended with record %d", last.Seq)}
	case last.Seq != 0 && last != r.Last:
		r.Fault = &Fault{r.Last.Seq, Altered, "it is not the record that the log was ended with"}
	}
	return *r
}
