package anomaly

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// monday is when the generated weeks begin.
var monday = time.Date(2026, 9, 7, 0, 0, 0, 0, time.UTC)

// habit is how one kind of key is used, by the number of requests in each hour of the week.
type habit struct {
	name   string
	hourly func(r *rand.Rand, hour int) float64
	answer int64 // bytes per answer, which determine its cost
	moves  int   // days between new networks, on average; 0 means never
}

func office(hour int) bool { return hour/24%7 < 5 && hour%24 >= 7 && hour%24 < 18 }

func habits() []habit {
	return []habit{
		{"service", func(_ *rand.Rand, h int) float64 { return 200 * (1.4 + math.Sin(float64(h%24-9)/24*2*math.Pi)) }, 3000, 0},
		{"office", func(r *rand.Rand, h int) float64 {
			if office(h) {
				return 80 * (0.7 + 0.6*r.Float64())
			}
			return 1
		}, 5000, 60},
		{"batch", func(r *rand.Rand, h int) float64 {
			late := 0
			if r.IntN(10) == 0 {
				late = 1
			}
			if hour := h % 24; hour == 2+late || hour == 3+late {
				return 1500
			}
			return 0
		}, 1500, 0},
		{"developer", func(r *rand.Rand, h int) float64 {
			if office(h-2) && r.IntN(3) == 0 {
				return 60 * r.ExpFloat64()
			}
			return 0
		}, 9000, 12},
		{"pipeline", func(r *rand.Rand, h int) float64 {
			if office(h) {
				return 20 * float64(r.IntN(7))
			}
			return 20 * float64(r.IntN(2)*r.IntN(2)*r.IntN(2))
		}, 2000, 0},
		{"mobile", func(r *rand.Rand, h int) float64 {
			if h%24 >= 6 && h%24 < 23 {
				return 15 * r.ExpFloat64()
			}
			return 0.3
		}, 2500, 1},
	}
}

// keyLife is a generated key.
type keyLife struct {
	habit
	rand    *rand.Rand
	scale   float64
	model   string
	agent   string
	network int
	homes   []int
	Life
}

func newKey(i int, seed uint64) *keyLife {
	all := habits()
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	return &keyLife{
		habit: all[i%len(all)], Life: Life{ID: "key_" + strconv.Itoa(i)}, rand: r, scale: 0.5 + 2*r.Float64(), model: "small",
		agent: "OpenAI/Python 1.40.0", homes: []int{i, i + 1000}, network: 2000 + 100*i,
	}
}

// poisson returns a random number of events, of which lambda are expected.
func (k *keyLife) poisson(lambda float64) int64 {
	return int64(max(0, math.Round(lambda+math.Sqrt(lambda)*k.rand.NormFloat64())))
}

// german returns an address of a network that the tests' country data places in Germany.
func german(n int) string { return fmt.Sprintf("10.%d.%d.7", n/250, n%250) }

// strange returns an address of a network elsewhere.
func strange(n int) string { return fmt.Sprintf("203.0.%d.7", n) }

type flags struct{}

func (flags) Country(a netip.Addr) string {
	if strings.HasPrefix(a.String(), "10.") {
		return "DE"
	}
	return "XX"
}

// price returns the price per token of a model, in nano-dollars.
func price(model string) int64 {
	return map[string]int64{"small": 1500, "other": 2000, "large": 30_000}[model]
}

// use adds n requests to an hour, with answers of the given length.
func (p *Present) use(k *keyLife, n, answer int64, model string) {
	spend := int64(0)
	for range min(n, 50) { // answers vary by factors
		spend += int64(float64(answer/4*price(model)) * math.Exp(0.7*k.rand.NormFloat64()-0.245))
	}
	if n > 50 {
		spend = spend / 50 * n
	}
	p.Hour = p.Hour.Plus(Sums{Requests: n, Answers: n * answer, Tokens: n * answer / 4, Spend: spend})
	p.Uses = append(p.Uses, Use{KeyID: k.ID, Model: model, Requests: n, Tokens: n * answer / 4, Spend: spend, First: p.At, Last: p.At})
}

func (p *Present) from(k *keyLife, n int64, address, agent string) {
	p.Callers = append(p.Callers, Caller{KeyID: k.ID, Address: address, Agent: agent, Requests: n, First: p.At, Last: p.At})
}

// live returns an ordinary hour, with ordinary changes: traffic grows, people work elsewhere,
// programs are updated, another model is tried, a provider is down.
func (k *keyLife) live(hour int) *Present {
	p := &Present{At: monday.Add(time.Duration(hour)*time.Hour + 59*time.Minute)}
	growth := math.Pow(1.03, float64(hour)/(7*24))
	n := k.poisson(k.scale * growth * k.hourly(k.rand, hour))
	if hour%(6*168) == 100 { // a provider is down: clients retry
		p.Hour.Requests += n
		n = k.poisson(float64(n) / 3)
	}
	if k.rand.IntN(24*60) == 0 { // once in two months
		k.model = "other"
	}
	if k.rand.IntN(24*60) == 0 {
		k.agent = "openai-node/2." + strconv.Itoa(hour)
	}
	if k.moves > 0 && k.rand.IntN(24*k.moves) == 0 {
		k.network++
		k.homes = append(k.homes, k.network)
	}
	if n == 0 {
		return p
	}
	p.use(k, n, k.answer, k.model)
	p.Hour.Errors += k.poisson(float64(n) / 100)
	p.Hour.Denials += k.poisson(float64(n) / 200)
	p.from(k, n, german(k.homes[k.rand.IntN(len(k.homes))]), k.agent)
	return p
}

// judge returns the findings about an hour, which then becomes history.
func (k *keyLife) judge(p *Present) []Finding { return k.Judge(*p, flags{}) }

// attack is how an attacker uses a key in the week that begins at hour 0.
type attack struct {
	name string
	want []string // findings, any of which is enough
	at   func(k *keyLife, p *Present, hour int, mean Sums)
}

func attacks() []attack {
	return []attack{
		{"stolen key, new country", []string{"new_country"}, func(k *keyLife, p *Present, hour int, _ Sums) {
			if hour >= 50 && hour < 54 {
				p.use(k, 15, 2000, k.model)
				p.from(k, 15, strange(1), "curl/8.5")
			}
		}},
		{"slow exfiltration", []string{"answers", "spend", "requests"}, func(k *keyLife, p *Present, hour int, mean Sums) {
			if hour >= 48 { // as much again as is usual, in long answers, evenly over all hours
				n := max(mean.Requests/2, 15)
				p.use(k, n, max(3*mean.Answers, 3<<20)/n, k.model)
			}
		}},
		{"spend burst at night", []string{"spend"}, func(k *keyLife, p *Present, hour int, mean Sums) {
			if hour == 72 {
				n := max(12*mean.Spend, 20_000_000_000) / (8000 * price(k.model))
				p.use(k, n, 32_000, k.model)
			}
		}},
		{"error scan", []string{"errors"}, func(k *keyLife, p *Present, hour int, mean Sums) {
			if hour == 83 {
				p.Hour = p.Hour.Plus(Sums{Requests: 400, Errors: 400})
			}
		}},
		{"model escalation", []string{"new_model", "spend"}, func(k *keyLife, p *Present, hour int, mean Sums) {
			if hour >= 80 && hour < 100 {
				p.use(k, max(mean.Requests/2, 10), k.answer, "large")
			}
		}},
		{"denial hammering", []string{"denials"}, func(k *keyLife, p *Present, hour int, mean Sums) {
			if hour == 130 {
				p.Hour = p.Hour.Plus(Sums{Requests: 300, Denials: 300})
			}
		}},
	}
}

// weeks a key is watched before the week of the attacks.
const before = 4

// grown returns a key after four weeks of ordinary use.
func grown(habit int) *keyLife {
	k := newKey(habit, 7)
	for hour := range before * 168 {
		k.judge(k.live(hour))
	}
	return k
}

// attacked lives a grown key through a week with an attack, and returns what of it was
// found and when it began.
func attacked(k *keyLife, a int) (found []Finding, began time.Time) {
	sum, _ := HistoryOf(k.hours, k.hours[len(k.hours)-1].At).Last(k.hours[len(k.hours)-1].At, 2*168)
	mean := Sums{Requests: sum.Requests / 336, Answers: sum.Answers / 336, Spend: sum.Spend / 336}
	one := attacks()[a]
	for hour := range 168 {
		p := k.live(before*168 + hour)
		was := p.Hour
		one.at(k, p, hour, mean)
		if began.IsZero() && p.Hour != was {
			began = p.At.Truncate(time.Hour)
		}
		for _, f := range k.judge(p) {
			if !began.IsZero() && !f.Minor && slices.Contains(one.want, f.What()) {
				found = append(found, f)
			}
		}
	}
	return found, began
}

func TestAttacksAreFoundInAWeekOfOrdinaryUse(t *testing.T) {
	for h, one := range habits() {
		k := grown(h)
		for i, a := range attacks() {
			victim := *k
			victim.rand = rand.New(rand.NewPCG(uint64(h), uint64(i)))
			victim.hours, victim.sights = slices.Clone(k.hours), slices.Clone(k.sights)
			found, began := attacked(&victim, i)
			if len(found) == 0 {
				t.Errorf("%s at a key of sort %s was not found", a.name, one.name)
				continue
			}
			f := found[0]
			t.Logf("%-24s %-10s after %3.0f h: %s", a.name, one.name, f.At.Add(time.Minute).Sub(began).Hours(), f.Text)
		}
	}
}

// TestOrdinaryUseIsSeldomUnusual counts false alarms. ANOMALY_KEYS keys live for ten weeks.
func TestOrdinaryUseIsSeldomUnusual(t *testing.T) {
	keys := 6
	if n, err := strconv.Atoi(os.Getenv("ANOMALY_KEYS")); err == nil {
		keys = n
	}
	const weeks = 10
	alarms, minor := make(map[string]int), 0
	told := make(map[string]bool) // what alerts are made of: one for each key, day and severity
	total := 0
	for i := range keys {
		k := newKey(i, 11)
		for hour := range weeks * 168 {
			for _, f := range k.judge(k.live(hour)) {
				if f.Minor {
					minor++
					continue
				}
				total++
				told[fmt.Sprint(k.ID, f.Critical, f.At.Format(time.DateOnly))] = true
				alarms[k.name+" "+f.What()]++
				if testing.Verbose() && keys <= 60 {
					t.Logf("%s %s %s: %s", k.ID, k.name, f.At.Format("Mon 02 Jan 15:04"), f.Text)
				}
			}
		}
	}
	months := float64(keys) * weeks / (365.25 / 12 / 7)
	t.Logf("%d keys, %d weeks: %d false findings, %.3f for a key and month, told by %d alerts, %.3f; beside them %d minor, %.3f",
		keys, weeks, total, float64(total)/months, len(told), float64(len(told))/months, minor, float64(minor)/months)
	for what, n := range alarms {
		t.Logf("  %s: %d", what, n)
	}
	if perMonth := float64(len(told)) / months; perMonth > 0.25 {
		t.Errorf("%.3f false alarms for a key and month", perMonth)
	}
}

func TestRootAndQuantilesAreExact(t *testing.T) {
	for n, want := range map[int64]int64{0: 0, 1: 1, 2: 1, 3: 1, 4: 2, 15: 3, 16: 4, 99: 9, 100: 10, math.MaxInt64: 3037000499} {
		if got := root(n); got != want {
			t.Errorf("root of %d is %d, want %d", n, got, want)
		}
	}
	list := []int64{1, 2, 3, 4}
	if quantile(list, 50) != 2 || quantile(list, 95) != 4 || quantile(list, 100) != 4 || quantile(nil, 50) != 0 {
		t.Error(quantile(list, 50), quantile(list, 95))
	}
}
