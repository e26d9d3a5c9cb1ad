package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
)

// written returns a log of n records.
func written(n int) (log []billing.Change) {
	var last billing.AuditMark
	last.Hash = strings.Repeat("0", 64)
	for i := range n {
		c := Seal(billing.Change{
			At: time.Unix(int64(i), 1000).UTC(), Actor: "ann", Action: "key.change", Object: fmt.Sprintf("key_%d", i),
			Outcome: billing.OutcomeDone, Detail: map[string]string{"b": "1", "a": "2"},
		}, last)
		last = billing.AuditMark{Seq: c.Seq, Hash: c.Hash}
		log = append(log, c)
	}
	return log
}

func end(log []billing.Change) billing.AuditMark {
	last := log[len(log)-1]
	return billing.AuditMark{Seq: last.Seq, Hash: last.Hash}
}

// TestFirstFaultOfTheLogIsNamed damages a log in every way.
func TestFirstFaultOfTheLogIsNamed(t *testing.T) {
	whole := written(9)
	rewritten := written(9)
	rewritten[4].Object = "key_x"
	for i := range rewritten { // by somebody who knows how
		previous := strings.Repeat("0", 64)
		if i > 0 {
			previous = rewritten[i-1].Hash
		}
		rewritten[i].Hash = Hash(previous, rewritten[i])
	}
	edit := func(n int, change func(c *billing.Change)) []billing.Change {
		log := slices.Clone(whole)
		change(&log[n])
		return log
	}
	swapped := slices.Clone(whole)
	swapped[3], swapped[4] = swapped[4], swapped[3]
	numbered := func(log []billing.Change) []billing.Change { // by somebody who hides what was done
		log = slices.Clone(log)
		for i := range log {
			log[i].Seq = int64(i + 1)
		}
		return log
	}
	move := func(from, to int) []billing.Change {
		log := slices.Delete(slices.Clone(whole), from, from+1)
		return slices.Insert(log, to, whole[from])
	}
	added := Seal(billing.Change{Actor: "eve", Action: "key.create"}, end(whole[:4]))
	late := billing.Change{ID: 7, Actor: "eve", Action: "key.create"}
	for name, c := range map[string]struct {
		log   []billing.Change
		marks []billing.AuditMark
		want  string
	}{
		"whole":             {log: whole},
		"whole, with marks": {log: whole, marks: []billing.AuditMark{end(whole), end(whole[:3])}},
		"another object":    {log: edit(4, func(c *billing.Change) { c.Object = "key_x" }), want: "record 5 is altered"},
		"another time":      {log: edit(0, func(c *billing.Change) { c.At = c.At.Add(time.Microsecond) }), want: "record 1 is altered"},
		"another detail":    {log: edit(8, func(c *billing.Change) { c.Detail = nil }), want: "record 9 is altered"},
		"another outcome":   {log: edit(2, func(c *billing.Change) { c.Outcome = "denied" }), want: "record 3 is altered"},
		"another hash":      {log: edit(3, func(c *billing.Change) { c.Hash = strings.Repeat("0", 64) }), want: "record 4 is altered"},
		"one is gone":       {log: slices.Delete(slices.Clone(whole), 4, 5), want: "record 5 is missing"},
		"one is gone, hidden": {
			log: numbered(slices.Delete(slices.Clone(whole), 4, 5)), want: "record 5 is missing",
		},
		"the first is gone": {log: whole[1:], want: "record 1 is missing"},
		"the tail is gone":  {log: whole[:7], want: "record 8 is missing"},
		"all is gone":       {want: "record 1 is missing"},
		"two are swapped":   {log: swapped, want: "record 4 is moved: it comes after record 5"},
		"and renumbered":    {log: numbered(swapped), want: "record 4 is moved: it is numbered 5"},
		"one comes later":   {log: move(3, 6), want: "record 4 is moved: it comes after record 7"},
		"one comes earlier": {log: move(6, 3), want: "record 7 is moved: it comes before record 4"},
		"one comes last, renumbered": {
			log: numbered(move(3, 8)), want: "record 4 is moved: it is numbered 9",
		},
		"one has another number": {
			log:  slices.Concat(whole[:4], whole[5:], edit(4, func(c *billing.Change) { c.Seq = 50 })[4:5]),
			want: "record 5 is moved: it is numbered 50",
		},
		"one is there twice": {
			log: slices.Insert(slices.Clone(whole), 4, whole[3]), want: "record 4 is repeated",
		},
		"one is added, hidden": {
			log: numbered(slices.Insert(slices.Clone(whole), 4, added)), want: "record 5 is added",
		},
		"one is added behind the end": {
			log: append(slices.Clone(whole), Seal(added, end(whole))), want: "record 10 is added",
		},
		"one is added before the chain": {
			log: slices.Concat([]billing.Change{late}, edit(0, func(c *billing.Change) { c.ID = 3 })), want: "a record without a number is added",
		},
		"written anew": {log: rewritten, marks: []billing.AuditMark{end(whole)}, want: "record 9 is forged"},
	} {
		v := NewVerifier(billing.AuditMark{Hash: strings.Repeat("0", 64)}, c.marks...)
		for _, record := range c.log {
			v.Add(record)
		}
		last := end(whole)
		if name == "written anew" {
			last = end(rewritten)
		}
		r := v.End(last)
		switch {
		case c.want == "" && (r.Fault != nil || r.Records != 9):
			t.Errorf("%s: %+v", name, r)
		case c.want != "" && (r.Fault == nil || !strings.HasPrefix(r.Fault.Error(), c.want)):
			t.Errorf("%s: %v, want %s", name, r.Fault, c.want)
		}
	}
}

// TestLogThatBeginsLater looks at what was pruned, and at an export that lacks its beginning.
func TestLogThatBeginsLater(t *testing.T) {
	whole := written(9)
	for want, c := range map[string]struct {
		log   []billing.Change
		marks []billing.AuditMark
	}{
		"":                   {log: whole[3:], marks: []billing.AuditMark{end(whole[:2]), end(whole[:3]), end(whole[:8])}},
		"record 3 is forged": {log: whole[3:], marks: []billing.AuditMark{{Seq: 3, Hash: whole[1].Hash}}},
		"record 2 is moved":  {log: slices.Insert(slices.Clone(whole[3:]), 2, whole[1])},
	} {
		v := NewVerifier(end(whole[:3]), c.marks...)
		for _, record := range c.log {
			v.Add(record)
		}
		if r := v.End(end(whole)); want == "" && r.Fault != nil || want != "" && (r.Fault == nil || !strings.HasPrefix(r.Fault.Error(), want)) {
			t.Errorf("%v, want %q", r.Fault, want)
		}
	}
}

// TestEvidenceThatWasChangedIsRefused member by member, the id of the key among them.
func TestEvidenceThatWasChangedIsRefused(t *testing.T) {
	key, err := ParseSigningKey(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	evidence := map[string]any{
		"evidence":   key.SignText("report", "all is well"),
		"checkpoint": key.Sign("ledger", billing.AuditMark{Seq: 3, Hash: "h"}, time.Unix(0, 0)),
	}
	opens := map[string]func([]byte) error{
		"evidence":   func(text []byte) error { _, err := OpenEvidence(text, key.Public()+"\n"); return err },
		"checkpoint": func(text []byte) error { _, err := Open(text, key.Public()+"\n"); return err },
	}
	for name, one := range evidence {
		text, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		if err := opens[name](text); err != nil {
			t.Errorf("%s as it was signed: %v", name, err)
		}
		members := map[string]any{}
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		for member, value := range members {
			changed := maps.Clone(members)
			changed[member] = "x"
			if _, number := value.(float64); number {
				changed[member] = 4
			}
			text, err := json.Marshal(changed)
			if err != nil {
				t.Fatal(err)
			}
			if opens[name](text) == nil {
				t.Errorf("%s with another %s is taken", name, member)
			}
		}
	}
}

func TestCheckpointsAreSignedAndDoNotPrintTheKey(t *testing.T) {
	seed := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	key, err := ParseSigningKey(" " + seed + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", key, key, key, key); strings.Contains(shown, seed) || strings.Contains(shown, "7, 7") {
		t.Errorf("the key prints: %s", shown)
	}
	signed := key.Sign("ledger_1", end(written(3)), time.Unix(0, 0))
	text, err := json.Marshal(signed)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Open(text, key.Public()); err != nil || got.Mark() != end(written(3)) {
		t.Errorf("%+v, %v", got, err)
	}
	other, err := ParseSigningKey(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{8}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(text, other.Public()); err == nil {
		t.Error("the signature of another key was taken")
	}
	for _, member := range []string{`"seq":3`, "ledger_1", "1970-01-01", signed.Hash} {
		changed := strings.Replace(string(text), member, strings.Map(func(r rune) rune {
			if r == '3' || r == '1' || r == 'a' {
				return '2'
			}
			return r
		}, member), 1)
		if _, err := Open([]byte(changed), key.Public()); err == nil && changed != string(text) {
			t.Errorf("a checkpoint with another %s was taken", member)
		}
	}
	for _, bad := range []string{"", "AAAA", seed + "AAAA", "?"} {
		if _, err := ParseSigningKey(bad); err == nil {
			t.Errorf("%q was taken for a key", bad)
		}
	}
}
