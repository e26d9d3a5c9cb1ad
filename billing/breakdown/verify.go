package breakdown

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
)

// Breach is a place where a breakdown is wrong.
type Breach struct{ Where, Expected, Found string }

// grain holds the texts of a line that the rollup has too.
type grain [ofRollup]string

// VerifySums calls breach for every rollup line that doesn't match the breakdown of its
// day, if reports read that breakdown.
func VerifySums(ctx context.Context, s Snapshot, d Dialect, breach func(Breach)) error {
	return eachPackedDay(ctx, s, d, breach, func(of day) error {
		expected := make(map[grain]*[len(numbers)]int64)
		err := eachSum(ctx, s, d, of.name, func(l *Line) error {
			addLine(expected, grain(l.Texts[:ofRollup]), func(i int) int64 { return l.Numbers[i] })
			return nil
		})
		if err != nil {
			return err
		}
		for _, columns := range [][]string{allColumns(), dailyColumns()} {
			found := make(map[grain]*[len(numbers)]int64)
			err := eachPacked(ctx, s, d, of.name, columns, func(p *Part) error {
				for i := range p.lines {
					addLine(found, p.grain(i), func(n int) int64 { return p.numbers[n].at(i) })
				}
				return nil
			})
			if err != nil {
				return err
			}
			compareSums(of.name, expected, found, breach)
		}
		return nil
	})
}

func addLine(sums map[grain]*[len(numbers)]int64, g grain, number func(i int) int64) {
	to := sums[g]
	if to == nil {
		to = new([len(numbers)]int64)
		sums[g] = to
	}
	for i := range to {
		to[i] += number(i)
	}
}

// compareSums reports the numbers that differ, line by line.
func compareSums(day string, expected, found map[grain]*[len(numbers)]int64, breach func(Breach)) {
	all := maps.Clone(expected)
	maps.Copy(all, found)
	for _, g := range slices.SortedFunc(maps.Keys(all), func(a, b grain) int { return slices.Compare(a[:], b[:]) }) {
		var want, got []string
		for i, n := range numbers {
			e, f := of(expected[g], i), of(found[g], i)
			if e != f {
				want, got = append(want, n.name+" "+e), append(got, n.name+" "+f)
			}
		}
		if len(want) > 0 {
			where := fmt.Sprintf("spend_breakdowns: %s, key %s, %s of %s %s", day, g[2], g[7], g[5], g[6])
			breach(Breach{where, strings.Join(want, " "), strings.Join(got, " ")})
		}
	}
}

func of(sums *[len(numbers)]int64, i int) string {
	if sums == nil {
		return "of no row"
	}
	return fmt.Sprint(sums[i])
}

// grain returns the grain of a line.
func (p *Part) grain(line int) (g grain) {
	for i := range g {
		g[i] = p.texts[i].at(line)
	}
	return g
}

// VerifyRows calls breach for every day whose breakdown, if reports read it, doesn't match
// its rows, with the column that differs.
func VerifyRows(ctx context.Context, s Snapshot, d Dialect, breach func(Breach)) error {
	return eachPackedDay(ctx, s, d, breach, func(of day) error {
		if of.archived {
			return nil
		}
		var expected, found digest
		b := NewBuilder(expected.add)
		if err := eachRow(ctx, s, d, of.name, b.Add); err != nil {
			return err
		}
		if err := b.Close(); err != nil {
			return err
		}
		if err := eachPacked(ctx, s, d, of.name, allColumns(), found.add); err != nil {
			return err
		}
		for i, sum := range expected {
			column := "all columns together"
			if i < len(texts) {
				column = texts[i].name
			}
			if sum != found[i] {
				breach(Breach{
					fmt.Sprintf("spend_breakdowns: %s, %s", of.name, column),
					fmt.Sprintf("what rows have: %x", sum), fmt.Sprintf("%x", found[i]),
				})
				return nil
			}
		}
		return nil
	})
}

// eachPackedDay calls each for every day whose breakdown reports read. A damaged breakdown
// is a breach.
func eachPackedDay(ctx context.Context, s Snapshot, d Dialect, breach func(Breach), each func(day) error) error {
	all, err := days(ctx, s, d, "0001-01-01", "9999-12-31")
	if err != nil {
		return err
	}
	for _, of := range all {
		if !of.packed {
			continue
		}
		err := each(of)
		if errors.Is(err, errDamaged) {
			breach(Breach{"spend_breakdowns: " + of.name, "columns that can be read", err.Error()})
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func allColumns() (names []string) {
	for _, t := range texts {
		names = append(names, t.name)
	}
	for _, n := range numbers {
		names = append(names, n.name)
	}
	return names
}

func dailyColumns() (names []string) {
	for _, name := range slices.Delete(allColumns(), ofRollup, len(texts)) {
		names = append(names, ofDaily+name)
	}
	return names
}

// digest is the same for the same rows, in whatever order and however they are merged into
// lines: for each text column, the hashes of its texts times the numbers of their lines,
// and finally the same for all the texts of a line together.
type digest [len(texts) + 1]uint64

func (d *digest) add(p *Part) error {
	var hashes [len(texts)][]uint64
	for i, l := range p.texts {
		for _, text := range l.texts {
			hashes[i] = append(hashes[i], hash(text))
		}
	}
	for line := range p.lines {
		var weight, together uint64
		for i := range p.numbers {
			weight = weight*prime + uint64(p.numbers[i].at(line))
		}
		for i, l := range p.texts {
			h := hashes[i][l.code(line)]
			d[i] += h * weight
			together = together*prime + h
		}
		d[len(texts)] += hash(fmt.Sprint(together)) * weight
	}
	return nil
}

// prime is the FNV prime.
const prime = 1099511628211

func hash(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64() | 1
}
