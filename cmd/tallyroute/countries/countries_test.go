package countries

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// text, pair and number are values of MaxMind's format.
func text(s string) []byte { return append([]byte{2<<5 | byte(len(s))}, s...) }

func pair(n int) []byte { return []byte{7<<5 | byte(n)} }

func number(kind byte, n uint32) []byte {
	if kind > 7 {
		return append([]byte{4, kind - 7}, binary.BigEndian.AppendUint32(nil, n)...)
	}
	return append([]byte{kind<<5 | 4}, binary.BigEndian.AppendUint32(nil, n)...)
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// file returns a file that maps a single /24 network to a country.
func file(network netip.Addr, country string) []byte {
	const nodes = 24
	var tree []byte
	at := network.As4()
	for i := range nodes {
		next := [2]uint32{nodes, nodes} // nothing
		bit := at[i/8] >> (7 - i%8) & 1
		if next[bit] = uint32(i + 1); i == nodes-1 {
			next[bit] = nodes + 16
		}
		for _, n := range next {
			tree = append(tree, byte(n>>16), byte(n>>8), byte(n))
		}
	}
	short := func(n byte) []byte { return []byte{5<<5 | 1, n} }
	return join(tree, make([]byte, 16),
		pair(1), text("country"), pair(1), text("iso_code"), text(country),
		[]byte("\xab\xcd\xefMaxMind.com"), pair(7),
		text("node_count"), number(6, nodes), text("record_size"), short(24), text("ip_version"), short(4),
		text("database_type"), text("Test"), text("binary_format_major_version"), short(2),
		text("binary_format_minor_version"), short(0), text("build_epoch"), number(9, 1),
	)
}

func TestCountriesAreFoundAndReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "countries.mmdb")
	var f File
	home, abroad := netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("::ffff:203.0.113.9")
	want := func(what, at, other string) {
		t.Helper()
		if got := f.Country(home); got != at {
			t.Errorf("%s: %s is in %q, want %q", what, home, got, at)
		}
		if got := f.Country(abroad); got != other {
			t.Errorf("%s: %s is in %q, want %q", what, abroad, got, other)
		}
	}
	want("nothing", "", "")
	if f.Use(path) == nil {
		t.Error("a file that is not there was read")
	}
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file(home, "DE"))
	if err := f.Use(path); err != nil {
		t.Fatal(err)
	}
	want("one", "DE", "")
	write([]byte("half a file"))
	if f.Use(path) == nil {
		t.Error("half a file was read")
	}
	want("what was read before", "DE", "")
	write(append(file(abroad, "NZ"), 0))
	if err := f.Use(path); err != nil {
		t.Fatal(err)
	}
	want("another", "", "NZ")
	if err := f.Use(""); err != nil {
		t.Fatal(err)
	}
	want("none", "", "")
}
