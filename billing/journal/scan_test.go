package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// image returns the bytes of a segment's file.
func image(s Segment, before int64, recs ...string) []byte {
	b := header(s, before)
	for _, rec := range recs {
		b = frame(b, s.seed(), []byte(rec))
	}
	return b
}

// put writes a segment into a directory.
func put(t *testing.T, dir string, s Segment, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, s.file()), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFormat holds the bytes: files of this version must stay readable.
func TestFormat(t *testing.T) {
	want := strings.Join([]string{
		"74616c6c796a6e6c", "01000000", "0700000000000000", "3905000000000000", "155fcf7d",
		"02000000", "fdffffff", "01e5e300", "6869",
	}, "")
	if got := hex.EncodeToString(image(7, 1337, "hi")); got != want {
		t.Errorf("the format has changed:\n%s\n%s", got, want)
	}
	for name, want := range map[string]Segment{
		"0000000000000001.log": 1, "00000000000000ff.log": 255,
		"0000000000000000.log": 0, "ffffffffffffffff.log": 0, "00000000000000FF.log": 0,
		"1.log": 0, "0000000000000001": 0, "+000000000000001.log": 0, "0000000000000001.log.tmp": 0,
	} {
		if got, ok := segmentOf(name); got != want || ok != (want != 0) {
			t.Errorf("%s is segment %d, %v", name, got, ok)
		}
	}
}

// TestTornTail cuts a segment off at every byte of its last record, and behind
// that puts the noughts that a file system may leave.
func TestTornTail(t *testing.T) {
	full := image(1, 0, "first", "second", "the last one")
	kept := len(image(1, 0, "first", "second"))
	for n := kept; n <= len(full); n++ {
		for _, noughts := range []int{0, 1, 5000} {
			if noughts > 0 && n != kept && n != len(full) {
				continue // a hole: that is damage
			}
			dir := t.TempDir()
			put(t, dir, 1, append(slices.Clone(full[:n]), make([]byte, noughts)...))
			l := mustOpen(t, dir, Options{})
			mustAppend(t, l, "of the next process")
			got, err := replayed(l)
			want := []string{"first", "second"}
			if n == len(full) {
				want = append(want, "the last one")
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("cut at %d with %d noughts: %q, %v", n, noughts, got, err)
			}
			mustClose(t, l)
		}
	}
}

// TestHeaderCutOff covers a process that died between creating a file and writing its header.
func TestHeaderCutOff(t *testing.T) {
	for n := range headerSize {
		dir := t.TempDir()
		put(t, dir, 1, image(1, 0, "a"))
		put(t, dir, 2, header(2, 0)[:n])
		l := mustOpen(t, dir, Options{})
		if got, err := replayed(l); err != nil || !slices.Equal(got, []string{"a"}) {
			t.Errorf("header of %d bytes: %q, %v", n, got, err)
		}
		if l.Active() != 3 {
			t.Errorf("active is %d", l.Active())
		}
		mustClose(t, l)
	}
}

func TestDamage(t *testing.T) {
	recs := []string{"first", "second", "third"}
	at := func(n int) int { return len(image(1, 0, recs[:n]...)) } // where record n begins
	flip := func(i int) func([]byte) []byte {
		return func(b []byte) []byte { b[i] ^= 0x10; return b }
	}
	inside := string(frame(nil, Segment(1).seed(), []byte("forged")))
	tests := []struct {
		name   string
		recs   []string
		change func([]byte) []byte
		want   []string
		offset int
		bytes  int
	}{
		{"payload in the middle", recs, flip(at(1) + headSize), []string{"first", "third"}, at(1), headSize + 6},
		{"checksum in the middle", recs, flip(at(1) + 8), []string{"first", "third"}, at(1), headSize + 6},
		{"length in the middle", recs, flip(at(1)), []string{"first", "third"}, at(1), headSize + 6},
		{"complement of the first length", recs, flip(at(0) + 5), []string{"second", "third"}, at(0), headSize + 5},
		{"payload of the last", recs, flip(at(3) - 1), []string{"first", "second"}, at(2), headSize + 5},
		{"length of the last", recs, flip(at(2) + 1), []string{"first", "second"}, at(2), headSize + 5},
		{"header", recs, flip(3), recs, 0, headerSize},
		{"header of another segment", recs, func(b []byte) []byte { copy(b, header(9, 0)); return b }, recs, 0, headerSize},
		{
			"a record inside a record is none",
			[]string{"first", inside + inside, "third"},
			flip(at(1) + headSize + len(inside)),
			[]string{"first", "third"},
			at(1), headSize + 2*len(inside),
		},
		{
			"a hole of noughts", recs,
			func(b []byte) []byte { clear(b[at(0)+3 : at(2)]); return b },
			[]string{"third"},
			at(0), at(2) - at(0),
		},
		{
			"noise at the end", recs,
			func(b []byte) []byte { return append(b, "something else altogether"...) },
			recs, at(3), len("something else altogether"),
		},
		{"not a segment at all", nil, func([]byte) []byte { return []byte(strings.Repeat("x", 50)) }, nil, 0, headerSize},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			b := tt.change(image(1, 0, tt.recs...))
			put(t, dir, 1, b)
			l := mustOpen(t, dir, Options{})
			for range 2 { // the second time nothing is different
				got, err := replayed(l)
				if !slices.Equal(got, tt.want) {
					t.Errorf("replayed %q", got)
				}
				var de *DamageError
				if !errors.As(err, &de) {
					t.Fatalf("not reported: %v", err)
				}
				d := de.Damage[0]
				if d.Segment != 1 || d.Offset != int64(tt.offset) || d.Bytes != int64(tt.bytes) {
					t.Errorf("reported %v", d)
				}
				kept, err := os.ReadFile(d.Quarantined)
				if err != nil || !bytes.Equal(kept, b[tt.offset:tt.offset+tt.bytes]) {
					t.Errorf("in quarantine: %q, %v", kept, err)
				}
				if !strings.Contains(de.Error(), d.Quarantined) {
					t.Errorf("the message does not say where: %s", de)
				}
			}
		})
	}
}

// TestMissing covers losses that only the next segment reveals.
func TestMissing(t *testing.T) {
	first := image(1, 0, "a", "b")
	second := image(2, int64(len(first)), "c")
	third := image(3, int64(len(second)), "d")
	tests := []struct {
		name  string
		files [][]byte
		want  []string
		lost  string // what the report says, "" if there is none
	}{
		{"all there", [][]byte{first, second, third}, []string{"a", "b", "c", "d"}, ""},
		{"a segment", [][]byte{first, nil, third}, []string{"a", "b", "d"}, "the segment is missing"},
		{"the oldest were dropped", [][]byte{nil, second, third}, []string{"c", "d"}, ""},
		{"the end of one", [][]byte{first[:len(first)-13], second}, []string{"a", "c"}, "the end is missing"},
		{"half a record of one", [][]byte{first[:len(first)-1], second}, []string{"a", "c"}, "the record is cut off"},
		{"what failed behind the end", [][]byte{append(slices.Clone(first), second[headerSize:]...), second}, []string{"a", "b", "c"}, ""},
		{
			"what the header of another segment says",
			[][]byte{first[:len(first)-13], image(3, int64(len(first)))},
			[]string{"a"},
			"damaged: segment 0000000000000002 at byte 0, 32 bytes: the header is damaged",
		},
		{"the end, but of another process", [][]byte{first[:len(first)-1], image(2, 0, "c")}, []string{"a", "c"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for i, b := range tt.files {
				if b != nil {
					put(t, dir, Segment(i+1), b)
				}
			}
			l := mustOpen(t, dir, Options{})
			got, err := replayed(l)
			if !slices.Equal(got, tt.want) {
				t.Errorf("replayed %q", got)
			}
			if tt.lost == "" && err != nil {
				t.Errorf("reported: %v", err)
			}
			if tt.lost == "" {
				return
			}
			if !errors.As(err, new(*DamageError)) || !strings.Contains(err.Error(), tt.lost) {
				t.Errorf("not reported: %v", err)
			}
		})
	}
}

// TestNewerVersion refuses what it cannot know, and says so.
func TestNewerVersion(t *testing.T) {
	newer := header(1, 0)
	newer[8]++
	dir := t.TempDir()
	put(t, dir, 1, newer)
	if _, err := replayed(mustOpen(t, dir, Options{})); !errors.As(err, new(*DamageError)) {
		t.Errorf("a version that its checksum does not cover: %v", err)
	}

	binary.LittleEndian.PutUint32(newer[28:], crc32.Checksum(newer[:28], castagnoli))
	dir = t.TempDir()
	put(t, dir, 1, newer)
	_, err := Open(dir, Options{})
	if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a newer version: %v", err)
	}
	_, err = Open(dir, Options{})
	if !errors.Is(err, ErrVersion) {
		t.Errorf("the directory was left locked: %v", err)
	}
}

// TestRandomDamage changes, cuts and inserts bytes anywhere: no record that was
// not written ever comes out, and what is lost is either reported or the end.
func TestRandomDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 3000 {
		var recs []string
		for i := range rng.IntN(8) {
			recs = append(recs, fmt.Sprintf("%d %s", i, strings.Repeat("\x01\x00", rng.IntN(40))))
		}
		b := image(1, 0, recs...)
		whole := len(b)
		for range 1 + rng.IntN(3) {
			i := rng.IntN(len(b))
			switch rng.IntN(4) {
			case 0:
				b[i] ^= 1 << rng.IntN(8)
			case 1:
				b = slices.Insert(b, i, byte(rng.IntN(256)))
			case 2:
				b = slices.Delete(b, i, min(len(b), i+rng.IntN(30)))
			default:
				clear(b[i:min(len(b), i+rng.IntN(30))])
			}
			if len(b) == 0 {
				break
			}
		}
		var got []string
		gaps, err := scan(1, b, int64(whole), func(rec []byte) error { got = append(got, string(rec)); return nil })
		if err != nil {
			t.Fatal(err)
		}
		for i, rec := range got {
			if at := slices.Index(recs, rec); at < i {
				t.Fatalf("round %d: %q came out, of %q", round, got, recs)
			}
		}
		if len(got) < len(recs) && len(gaps) == 0 {
			t.Fatalf("round %d: %d of %d records and no report", round, len(got), len(recs))
		}
	}
}

// FuzzReplay reads any bytes as a segment: it never panics and never returns a
// record whose checksum is wrong, and every byte is accounted for.
func FuzzReplay(f *testing.F) {
	good := image(3, 0, "first", "second", "third")
	f.Add(good, int64(0))
	f.Add(good[:len(good)-2], int64(len(good)))
	f.Add(bytes.Replace(good, []byte("second"), []byte("sacond"), 1), int64(0))
	f.Add(append(good, make([]byte, 100)...), int64(0))
	f.Add(good[headerSize:], int64(-1))
	f.Add(bytes.Repeat([]byte{1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff}, 20), int64(32))
	f.Fuzz(func(t *testing.T, data []byte, end int64) {
		var used int64
		gaps, err := scan(3, data, end, func(rec []byte) error {
			if len(rec) == 0 || len(rec) > MaxRecord || !bytes.Contains(data, frame(nil, Segment(3).seed(), rec)) {
				t.Errorf("%q was never written", rec)
			}
			used += int64(headSize + len(rec))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		size := int64(len(data))
		if end > 0 {
			size = max(end, min(size, headerSize))
		}
		lost := min(int64(len(data)), headerSize) // the header, sound or not
		for _, g := range gaps {
			if g.n <= 0 {
				t.Errorf("a gap of %d bytes", g.n)
			}
			if g.at > 0 || g.n != headerSize {
				lost += g.n
			}
			if g.torn && (end > 0 || g.at+g.n != int64(len(data))) {
				t.Errorf("torn, but not at the end: %+v", g)
			}
		}
		if used+lost != size {
			t.Errorf("%d bytes are records, %d lost, of %d", used, lost, size)
		}
	})
}
