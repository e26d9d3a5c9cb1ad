package billing

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"math/big"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseMoney(t *testing.T) {
	tests := map[string]struct {
		text string
		want Money
		bad  bool
	}{
		"zero":              {text: "0"},
		"dollars":           {text: "50", want: 50 * NanoPerUSD},
		"cents":             {text: "0.25", want: 250_000_000},
		"one nano":          {text: "0.000000001", want: 1},
		"negative":          {text: "-1.5", want: -1_500_000_000},
		"zeros in front":    {text: "007.10", want: 7_100_000_000},
		"largest":           {text: "9223372036.854775807", want: math.MaxInt64},
		"least but one":     {text: "-9223372036.854775807", want: -math.MaxInt64},
		"too large":         {text: "9223372036.854775808", bad: true},
		"far too large":     {text: strings.Repeat("9", 400), bad: true},
		"ten decimals":      {text: "0.0000000001", bad: true},
		"ten zero decimals": {text: "0.0000000000", bad: true},
		"empty":             {text: "", bad: true},
		"sign alone":        {text: "-", bad: true},
		"two signs":         {text: "--1", bad: true},
		"plus":              {text: "+1", bad: true},
		"no whole":          {text: ".5", bad: true},
		"no decimals":       {text: "5.", bad: true},
		"two dots":          {text: "1.2.3", bad: true},
		"comma":             {text: "1,5", bad: true},
		"exponent":          {text: "1e3", bad: true},
		"space":             {text: " 1", bad: true},
		"hex":               {text: "0x10", bad: true},
		"not a number":      {text: "NaN", bad: true},
		"infinite":          {text: "Inf", bad: true},
		"other digits":      {text: "१", bad: true},
		"sign in decimals":  {text: "1.-5", bad: true},
		"grouped":           {text: "1_000", bad: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseMoney(tt.text)
			if errors.Is(err, ErrMoney) != tt.bad || got != tt.want {
				t.Errorf("got %d, %v; want %d", got, err, tt.want)
			}
		})
	}
}

func TestMoney_RoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	amounts := []Money{0, 1, -1, NanoPerUSD, -NanoPerUSD, NanoPerUSD - 1, math.MaxInt64, -math.MaxInt64}
	for range 20_000 {
		amounts = append(amounts, Money(rnd.Uint64()>>rnd.IntN(64)))
	}
	for _, m := range amounts {
		if m == math.MinInt64 {
			continue
		}
		for _, text := range []string{m.String(), m.Short()} {
			if got, err := ParseMoney(text); err != nil || got != m {
				t.Fatalf("%d is written %s and reads %d, %v", m, text, got, err)
			}
		}
	}
	if got := Money(math.MinInt64).String(); got != "-9223372036.854775808" {
		t.Errorf("the least amount is written %s", got)
	}
}

func TestMoney_Short(t *testing.T) {
	for m, want := range map[Money]string{0: "0", 50 * NanoPerUSD: "50", 100 * NanoPerUSD: "100", 75_000_000: "0.075", -1: "-0.000000001"} {
		if got := m.Short(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// saturated returns n, limited to the range of Money.
func saturated(n *big.Int) Money {
	switch {
	case n.IsInt64():
		return Money(n.Int64())
	case n.Sign() < 0:
		return math.MinInt64
	}
	return math.MaxInt64
}

// amount draws numbers of every size, and often an end of the range.
func amount(rnd *rand.Rand) int64 {
	switch rnd.IntN(20) {
	case 0:
		return math.MaxInt64
	case 1:
		return math.MinInt64
	}
	n := int64(rnd.Uint64() >> (1 + rnd.IntN(63)))
	if rnd.IntN(2) == 0 {
		return -n
	}
	return n
}

func TestSatMul(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 100_000 {
		a, b := amount(rnd), amount(rnd)
		want := saturated(new(big.Int).Mul(big.NewInt(max(a, 0)), big.NewInt(max(b, 0))))
		if got := SatMul(Money(a), Money(b)); got != want {
			t.Fatalf("%d * %d = %d, want %d", a, b, got, want)
		}
	}
}

func TestMoney_Add(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 100_000 {
		a, b := amount(rnd), amount(rnd)
		want := saturated(new(big.Int).Add(big.NewInt(a), big.NewInt(b)))
		if got := Money(a).Add(Money(b)); got != want {
			t.Fatalf("%d + %d = %d, want %d", a, b, got, want)
		}
	}
}

// exact returns rate × quantity / 1e6, rounded half to even, computed with
// arbitrary precision.
func exact(rate Money, quantity int64) *big.Int {
	if rate <= 0 || quantity <= 0 {
		return new(big.Int)
	}
	million := big.NewInt(1_000_000)
	product := new(big.Int).Mul(big.NewInt(int64(rate)), big.NewInt(quantity))
	quo, rem := new(big.Int).QuoRem(product, million, new(big.Int))
	switch twice := rem.Lsh(rem, 1).Cmp(million); {
	case twice > 0, twice == 0 && quo.Bit(0) == 1:
		quo.Add(quo, big.NewInt(1))
	}
	return quo
}

func TestPrice_Cost(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	halves := 0
	for range 100_000 {
		p := Price{
			Input: Money(amount(rnd)), CacheRead: Money(amount(rnd)), CacheWrite: Money(amount(rnd)), Output: Money(amount(rnd)),
			Request: Money(max(0, amount(rnd))),
		}
		use := Tokens{Input: amount(rnd), CacheRead: amount(rnd), CacheWrite: amount(rnd), Output: amount(rnd), Reasoning: amount(rnd)}
		if rnd.IntN(4) == 0 { // a tie is otherwise rare
			p.Input, use.Input = 500_000, int64(rnd.IntN(1000))*2+1
			halves++
		}
		got := p.Cost(use)
		want := Cost{
			Input: saturated(exact(p.Input, use.Input)), CacheRead: saturated(exact(p.CacheRead, use.CacheRead)),
			CacheWrite: saturated(exact(p.CacheWrite, use.CacheWrite)), Output: saturated(exact(p.Output, use.Output)), Fee: p.Request,
		}
		total := new(big.Int)
		for _, m := range []Money{want.Input, want.CacheRead, want.CacheWrite, want.Output, want.Fee} {
			total.Add(total, big.NewInt(int64(m)))
		}
		want.Total = saturated(total)
		if got != want {
			t.Fatalf("%+v for %+v:\n got %+v\nwant %+v", p, use, got, want)
		}
	}
	if halves == 0 {
		t.Error("no tie was tried")
	}
}

func TestPrice_CostByHand(t *testing.T) {
	usd := func(s string) Money {
		m, err := ParseMoney(s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	p := Price{Input: usd("0.05"), Output: usd("0.40"), CacheRead: usd("0.005"), CacheWrite: usd("0.0625"), Request: usd("0.01")}
	tests := map[string]struct {
		use  Tokens
		want string
	}{
		"nothing but the fee": {Tokens{}, "0.01"},
		"input":               {Tokens{Input: 37}, "0.01000185"},
		"every meter":         {Tokens{Input: 1000, CacheRead: 2000, CacheWrite: 400, Output: 500, Reasoning: 400}, "0.010285"},
		"a million":           {Tokens{Output: 1_000_000}, "0.41"},
		"negative is nothing": {Tokens{Input: -1, Output: math.MinInt64}, "0.01"},
	}
	for name, tt := range tests {
		if got := p.Cost(tt.use).Total.Short(); got != tt.want {
			t.Errorf("%s: got $%s, want $%s", name, got, tt.want)
		}
	}
}

// Where the product is just too large for its quotient to fit, and nearby.
func TestPrice_CostAtTheEdge(t *testing.T) {
	for _, rate := range []Money{1 << 62, 1<<62 - 1, 1<<61 + 1, math.MaxInt64, 1_000_000, 999_999} {
		for _, quantity := range []int64{
			4_000_000, 3_999_999, 4_000_001, 2_000_000, 1_999_999, 1_000_000, math.MaxInt64,
			math.MaxInt64 - 1,
		} {
			if got, want := (Price{Input: rate}).Cost(Tokens{Input: quantity}).Input, saturated(exact(rate, quantity)); got != want {
				t.Errorf("%d for %d: got %d, want %d", rate, quantity, got, want)
			}
		}
	}
}

func TestTokens(t *testing.T) {
	use := Tokens{Input: 1, CacheRead: 20, CacheWrite: 300, Output: 4000, Reasoning: 50000}
	if use.Total() != 4321 || use.Prompt() != 321 {
		t.Errorf("total %d, prompt %d", use.Total(), use.Prompt())
	}
	most := Tokens{Input: math.MaxInt64, CacheRead: math.MaxInt64, CacheWrite: 1, Output: math.MaxInt64}
	if most.Total() != math.MaxInt64 || most.Prompt() != math.MaxInt64 {
		t.Errorf("total %d, prompt %d", most.Total(), most.Prompt())
	}
}

func TestPriceBook(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	b := NewPriceBook([]Price{
		{ID: "c", Provider: "acme", Model: "large", Since: day(20), Input: 3},
		{ID: "a", Provider: "acme", Model: "large", Since: day(1), Input: 1},
		{ID: "b", Provider: "acme", Model: "large", Since: day(10), Input: 2},
		{ID: "d", Provider: "acme", Model: "gift", Since: day(1)},
	})
	tests := map[string]struct {
		provider, model string
		at              time.Time
		want            string // id; "" for unknown
	}{
		"before the first":      {"acme", "large", day(1).Add(-1), ""},
		"at the first":          {"acme", "large", day(1), "a"},
		"just before a change":  {"acme", "large", day(10).Add(-1), "a"},
		"at a change":           {"acme", "large", day(10), "b"},
		"long after":            {"acme", "large", day(20).AddDate(50, 0, 0), "c"},
		"free is not unknown":   {"acme", "gift", day(2), "d"},
		"unknown model":         {"acme", "small", day(2), ""},
		"another's model":       {"other", "large", day(2), ""},
		"names are not joined":  {"acm", "elarge", day(2), ""},
		"in another time zone ": {"acme", "large", day(10).In(time.FixedZone("", -3600)), "b"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, ok := b.At(tt.provider, tt.model, tt.at).Listed(TierStandard, 0)
			if ok != (tt.want != "") || p.ID != tt.want {
				t.Errorf("got %q, %v; want %q", p.ID, ok, tt.want)
			}
		})
	}
	if all := b.All(); len(all) != 4 || all[0].ID != "a" || all[3].ID != "d" {
		t.Errorf("all prices are %v", all)
	}
}

// Money is counted in integers: no floating point in this package or the
// stores below it. Benchmarks cannot do without.
func TestNoFloatingPoint(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.go", "*/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, slices.DeleteFunc(found, func(name string) bool { return strings.HasSuffix(name, "_test.go") })...)
	}
	if len(files) < 10 {
		t.Fatalf("only %d files are looked at", len(files))
	}
	for _, name := range files {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				if slices.Contains([]string{"float32", "float64", "complex64", "complex128", "ParseFloat", "Float64"}, n.Name) {
					t.Errorf("%s: %s", set.Position(n.Pos()), n.Name)
				}
			case *ast.BasicLit:
				if n.Kind == token.FLOAT && strings.Contains(n.Value, ".") {
					t.Errorf("%s: %s", set.Position(n.Pos()), n.Value)
				}
			}
			return true
		})
	}
}
