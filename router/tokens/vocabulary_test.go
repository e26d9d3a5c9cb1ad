package tokens

import (
	"strings"
	"testing"

	loader "github.com/pkoukk/tiktoken-go-loader"
)

// Every token of the files has its rank, and nothing else has one.
func TestVocabulariesAreWhole(t *testing.T) {
	for _, name := range []string{O200k, Cl100k} {
		want, err := loader.NewOfflineLoader().LoadTiktokenBpe(name + ".tiktoken")
		if err != nil {
			t.Fatal(err)
		}
		v, err := loadVocabulary(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(v.ends) != len(want) {
			t.Errorf("%s: %d tokens, want %d", name, len(v.ends), len(want))
		}
		for token, rank := range want {
			if got := v.rank([]byte(token)); got != uint32(rank) {
				t.Fatalf("%s: %q has rank %d, want %d", name, token, got, rank)
			}
			for _, other := range []string{token + "\x00\x01", "\x01\x00" + token} {
				if _, known := want[other]; !known && v.rank([]byte(other)) != unknown {
					t.Fatalf("%s: %q has a rank", name, other)
				}
			}
		}
	}
}

func TestVocabularyFaults(t *testing.T) {
	if _, err := loadVocabulary("none"); err == nil {
		t.Error("there is no such file")
	}
	for _, line := range []string{"YQ==", "YQ== ", "YQ== x", "YQ== -1", "YQ== 99999999999", "Y 1", " 1 2"} {
		var v vocabulary
		if err := v.read([]byte(line)); err == nil {
			t.Errorf("taken for a token: %q", line)
		}
	}
	var v vocabulary
	if err := v.read([]byte("YWI= 7")); err != nil || string(v.token(0)) != "ab" || v.ranks[0] != 7 {
		t.Errorf("%v %+v", err, v)
	}
	if err := v.read(nil); err != nil || len(v.ends) != 1 {
		t.Errorf("an empty line: %v", err)
	}
}

// The longest piece that is merged as a whole, and the shortest.
func TestMergeAtTheEdges(t *testing.T) {
	v, err := loadVocabulary(O200k)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []string{"a", "\x80", "ab", strings.Repeat("\x80", longestPiece), strings.Repeat("qx", longestPiece/2)} {
		want := len(reference()[O200k].EncodeOrdinary(piece))
		if strings.Contains(piece, "\x80") {
			want = 0 // which tiktoken would replace; only that it ends is of interest
		}
		if got := v.merge([]byte(piece)); got < 1 || got > len(piece) || (want > 0 && got != want) {
			t.Errorf("%.20q: %d tokens, want %d", piece, got, want)
		}
	}
}
