package breakdown

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"reflect"
	"testing"

	"tallyroute/billing"
)

// partOfTests is how many lines a part has here.
const partOfTests = 300

// pack makes parts of lines and packs and unpacks each.
func pack(t *testing.T, lines []Line) (parts []*Part) {
	t.Helper()
	b := NewBuilder(func(p *Part) error {
		read := &Part{}
		for _, c := range p.Columns() {
			if err := read.read(c); err != nil {
				return err
			}
		}
		parts = append(parts, read)
		return nil
	})
	b.most = partOfTests
	for i := range lines {
		if err := b.Add(&lines[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return parts
}

// someLines returns lines with random texts, including some that no row has.
func someLines(n int) (lines []Line) {
	random := rand.New(rand.NewPCG(1, 2))
	for range n {
		var l Line
		for i := range texts {
			l.Texts[i] = fmt.Sprintf("%s %d", texts[i].name, random.IntN(1+i*i*i))
		}
		if random.IntN(3) == 0 {
			l.Texts[textColumn("end_user")] = absent
		}
		l.Texts[textColumn("tags")] = fmt.Sprintf(`{"a": "x%d", "b\"": "é%d"}`, random.IntN(3), random.IntN(300))
		for i := range numbers {
			l.Numbers[i] = random.Int64N(1000) - int64(i)
		}
		l.Numbers[sumColumns.rows] = 1
		lines = append(lines, l)
	}
	return lines
}

// reported returns the report by these dimensions, computed in the given number of shares.
func reported(parts []*Part, shares int, by ...billing.Dimension) (report billing.SpendReport) {
	g, seed := newGrouping(billing.SpendQuery{GroupBy: by, Top: billing.MostLines}, names{}), maphash.MakeSeed()
	for share := range shares {
		s := newSums(seed, share, shares)
		for _, p := range parts {
			s.add(g, p, "2026-11-30")
		}
		s.into(&report, g)
	}
	return report
}

func TestReportAddsUpEveryLineOnceInHoweverManyShares(t *testing.T) {
	lines := someLines(2*partOfTests + 7)
	parts := pack(t, lines)
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	want := make(map[string]billing.Money)
	for _, l := range lines {
		tags, err := packTags(l.Texts[textColumn("tags")])
		if err != nil {
			t.Fatal(err)
		}
		want[shown(l.Texts[textColumn("end_user")])+" of "+tagOf(tags, `b"`)] += billing.Money(l.Numbers[sumColumns.cost])
	}
	one := reported(parts, 1, "end_user", `tag:b"`)
	got := make(map[string]billing.Money)
	for _, r := range one.Rows {
		got[r.Group[0]+" of "+r.Group[1]] = r.Cost
	}
	if one.Lines != int64(len(want)) || !reflect.DeepEqual(got, want) {
		t.Errorf("%d lines of %d", one.Lines, len(want))
	}
	if several := reported(parts, 2, "end_user", `tag:b"`); !reflect.DeepEqual(several, one) {
		t.Errorf("two shares have another total: %+v, want %+v", several.Total, one.Total)
	}
}

func TestDigestIsThatOfTheRowsInAnyOrder(t *testing.T) {
	lines := someLines(500)
	var first, second, other digest
	for _, p := range pack(t, lines) {
		_ = first.add(p)
	}
	half := append(append([]Line(nil), lines[250:]...), lines[:250]...)
	for _, p := range pack(t, half) {
		_ = second.add(p)
	}
	half[7].Texts[3], half[8].Texts[3] = half[8].Texts[3], half[7].Texts[3]+"!"
	for _, p := range pack(t, half) {
		_ = other.add(p)
	}
	if first != second || first == other {
		t.Error("the digest depends on the order, or not on the texts")
	}
}

func TestNamesOfReportsAreNotTakenByClients(t *testing.T) {
	all := make(map[string]bool)
	for _, text := range []string{absent, archived, "(none)", "(archived)", `"(none)"`, `""(none)""`, "none", `"none"`} {
		if s := shown(text); all[s] {
			t.Errorf("%q is shown as %q, as is another", text, s)
		} else {
			all[s] = true
		}
	}
}

func FuzzReadColumn(f *testing.F) {
	p := &Part{}
	b := NewBuilder(func(made *Part) error { p = made; return nil })
	for _, l := range someLines(300) {
		_ = b.Add(&l)
	}
	_ = b.Close()
	for _, c := range p.Columns() {
		f.Add(c.Name, c.Data)
	}
	f.Fuzz(func(_ *testing.T, name string, data []byte) {
		_ = new(Part).read(Column{name, data}) // an error at the most
	})
}
