package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// window is how many bytes of a secret, in a row and in one encoding, count as the secret.
const window = 12

// needles are secrets, searched for in every encoding in which something may write them.
type needles struct {
	t     *testing.T
	parts map[uint64][]needle // by their first eight bytes
	kinds []string
	bytes int64
}

type needle struct{ kind, encoding, text string }

// look searches for a secret from now on. What all secrets of its kind begin with is not a part of it.
func (n *needles) look(kind, secret string) {
	n.t.Helper()
	if len(secret) < window {
		n.t.Fatalf("%s is too short to be searched for: %q", kind, secret)
	}
	if n.parts == nil {
		n.parts = make(map[uint64][]needle)
	}
	n.kinds = append(n.kinds, kind)
	quoted, _ := json.Marshal(secret)
	texts := map[string]string{
		"plain": secret, "percent": url.QueryEscape(secret), "path": url.PathEscape(secret), "JSON": strings.Trim(string(quoted), `"`),
		"JSON, escaped": strings.NewReplacer("/", `\/`, "+", `\u002b`, "=", `\u003d`).Replace(secret),
		"hex":           hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	for shift := range 3 { // where in a longer text it may begin
		for name, as := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			text := as.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
			texts[fmt.Sprint(name, " ", shift)] = text[(shift*8+5)/6 : len(text)-1]
		}
	}
	for encoding, text := range texts {
		for i := 0; i+window <= len(text); i++ {
			part := text[i : i+window]
			begin := binary.LittleEndian.Uint64([]byte(part))
			if !slices.ContainsFunc(n.parts[begin], func(o needle) bool { return o.text == part }) {
				n.parts[begin] = append(n.parts[begin], needle{kind, encoding, part})
			}
		}
	}
}

// in returns the first secret that a text has.
func (n *needles) in(text []byte) (found needle, at int, ok bool) {
	n.bytes += int64(len(text))
	for i := 0; i+window <= len(text); i++ {
		for _, one := range n.parts[binary.LittleEndian.Uint64(text[i:])] {
			if string(text[i:i+window]) == one.text {
				return one, i, true
			}
		}
	}
	return found, 0, false
}

// nowhere reports a text that has a secret.
func (n *needles) nowhere(where string, text []byte) {
	n.t.Helper()
	if found, at, ok := n.in(text); ok {
		n.t.Errorf("%s has %s (%s): …%q…", where, found.kind, found.encoding, text[max(0, at-60):min(len(text), at+60)])
	}
}

// files searches all files below a directory but some.
func (n *needles) files(dir string, except ...string) {
	n.t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || slices.Contains(except, path):
			return nil // it was removed meanwhile
		case !e.Type().IsRegular():
			return nil
		}
		if text, err := os.ReadFile(path); err == nil {
			n.nowhere(path, text)
		}
		return nil
	})
	if err != nil {
		n.t.Error(err)
	}
}

// processes searches the command lines of all processes of this machine.
func (n *needles) processes() {
	n.t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(all) == 0 {
		n.t.Fatalf("the list of processes: %v", err)
	}
	for _, path := range all {
		if text, err := os.ReadFile(path); err == nil {
			n.nowhere(path, text)
		}
	}
}

// tables searches every value of every table.
func (n *needles) tables(db rowsOf, postgres bool) {
	n.t.Helper()
	list := `SELECT name FROM sqlite_schema WHERE type = 'table'`
	if postgres {
		list = `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'`
	}
	for _, table := range db.Rows(list) {
		query := `SELECT * FROM "` + table[0] + `"`
		if postgres {
			query = `SELECT t::text FROM "` + table[0] + `" t`
		}
		for _, row := range db.Rows(query) {
			n.nowhere("the table "+table[0], []byte(strings.Join(row, " ")))
		}
	}
}

// TestNeedlesAreFound checks the search itself.
func TestNeedlesAreFound(t *testing.T) {
	const secret = "Zq9+/k3Lw=8fPb2Rv7Tc"
	n := &needles{t: t}
	n.look("one", secret)
	for _, text := range []string{
		"a" + secret, url.QueryEscape("x=" + secret), base64.StdEncoding.EncodeToString([]byte("Bearer " + secret)),
		base64.URLEncoding.EncodeToString([]byte("user:" + secret + "!")), fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret),
		strings.ReplaceAll(secret, "/", `\/`), secret[4:18],
	} {
		if _, _, ok := n.in([]byte("before " + text + " behind")); !ok {
			t.Errorf("not found in %q", text)
		}
	}
	if _, _, ok := n.in([]byte(strings.Repeat(secret[:window-1]+"\n", 3))); ok {
		t.Error("found although it is not there")
	}
}
