package watch

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
	"tallyroute/billing/anomaly"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/countries"
)

// Anomalies is "tallyroute anomalies": unusual use of keys.
type Anomalies struct {
	List   anomaliesList   `cmd:"" help:"List anomalies, newest first."`
	Show   anomaliesShow   `cmd:"" help:"Show the usual activity of a key at this hour, and its known clients and networks."`
	Replay anomaliesReplay `cmd:"" help:"Report which requests in a file would have been anomalies."`
}

type anomaliesList struct {
	cli.Format
	Key   string        `help:"The id of the key." placeholder:"KEY"`
	Since time.Duration `help:"How far back, such as 24h."`
	Limit int           `default:"100" help:"How many; at most 1000."`
}

// Run lists the anomalies.
func (c anomaliesList) Run(a *cli.Context) error {
	q := adminapi.Query("key_id", c.Key, "limit", strconv.Itoa(c.Limit))
	if c.Since > 0 {
		q.Set("since", cli.Timestamp(time.Now().Add(-c.Since)))
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.EventView](a.Ctx, r, "/anomalies", q, c.Limit)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"OCCURRED", "SEVERITY", "KEY", "NAME", "WHAT", "TEXT"}, Records: all}
		for _, e := range all {
			t.Add(cli.Text(cli.Value(e.OccurredAt)), cli.Text(e.Severity), cli.Text(e.Object), cli.Text(e.ObjectName),
				cli.Text(e.Data["what"]), cli.Text(e.Text))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

type anomaliesShow struct {
	cli.Format
	Key string `arg:"" help:"The id of the key." placeholder:"KEY"`
}

// Run shows what is usual for a key.
func (c anomaliesShow) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.UsualView](a.Ctx, r, adminapi.Get("/keys"+adminapi.Path(c.Key, "usual"), nil))
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"WHAT", "SPAN", "NOW", "USUAL", "LIMIT", "FROM"}, Records: v}
		for _, b := range v.Baselines {
			show := anomaly.Figure(b.Figure).Plain
			t.Add(cli.Text(b.Figure), cli.Text(b.Span), cli.Text(show(b.Now)), cli.Text(show(b.Usual)), cli.Text(show(b.Limit)),
				cli.Text(fmt.Sprintf("%d samples of the %s", b.Samples, b.Basis)))
		}
		for _, s := range v.Seen {
			t.Add(cli.Text(s.Kind), cli.Text("-"), cli.Text(s.Value), cli.Text("-"), cli.Text("-"),
				cli.Text("seen "+cli.Value(s.First)+" to "+cli.Value(s.Last)))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

type anomaliesReplay struct {
	cli.Format
	File      string `arg:"" help:"Requests in chronological order, one per line, as JSON: see docs/anomalies.md." placeholder:"FILE"`
	Countries string `help:"A file of countries in MaxMind's format." placeholder:"FILE"`
	All       bool   `help:"Also those that would not have caused an alert."`
}

// line is a request in the file. Its first fields are those that access list prints.
type line struct {
	At       time.Time     `json:"at"`
	KeyID    string        `json:"key_id"`
	Address  string        `json:"address"`
	Agent    string        `json:"user_agent"`
	Decision string        `json:"decision"`
	Status   int           `json:"status"`
	BytesOut int64         `json:"bytes_out"`
	Model    string        `json:"model"`
	Tokens   int64         `json:"tokens"`
	CostUSD  json.Number   `json:"cost_usd"`
	cost     billing.Money // of CostUSD
}

// Run replays the file.
func (c anomaliesReplay) Run(a *cli.Context) error {
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	var flags countries.File
	if err := flags.Use(c.Countries); err != nil {
		return err
	}
	r := replay{countries: &flags, lives: make(map[string]*anomaly.Life), hours: make(map[string]*anomaly.Present)}
	if err := r.read(file); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	t := cli.Table{Header: []string{"AT", "SEVERITY", "KEY", "WHAT", "TEXT"}}
	records := []manage.EventView{}
	for _, f := range r.found {
		if f.Minor && !c.All {
			continue
		}
		e := manage.ViewEvent(manage.FindingEvent(f))
		records = append(records, e)
		t.Add(cli.Text(cli.Value(e.OccurredAt)), cli.Text(e.Severity), cli.Text(e.Object), cli.Text(e.Data["what"]), cli.Text(e.Text))
	}
	t.Records = records
	return t.Write(a.Stdout, c.Output)
}

// replay evaluates requests hour by hour.
type replay struct {
	countries anomaly.Countries
	at        time.Time // the hour being read
	lives     map[string]*anomaly.Life
	hours     map[string]*anomaly.Present // by key
	found     []anomaly.Finding
}

var errOrder = errors.New("requests must be in the order of time")

func (r *replay) read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var l line
		err := json.Unmarshal(lines.Bytes(), &l)
		if err == nil && l.CostUSD != "" {
			l.cost, err = billing.ParseMoney(string(l.CostUSD))
		}
		if err == nil && (l.KeyID == "" || l.At.IsZero()) {
			err = errors.New("needs at and key_id")
		}
		if hour := l.At.UTC().Truncate(time.Hour); err == nil && !hour.Equal(r.at) {
			if err = r.end(hour); err == nil {
				r.at = hour
			}
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		r.add(l)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return r.end(r.at.Add(time.Hour))
}

// end evaluates the hour that was read.
func (r *replay) end(next time.Time) error {
	if next.Before(r.at) {
		return errOrder
	}
	ids := make([]string, 0, len(r.hours))
	for id := range r.hours {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		p := r.hours[id]
		p.At = r.at.Add(time.Hour - time.Second)
		r.found = append(r.found, r.lives[id].Judge(*p, r.countries)...)
	}
	clear(r.hours)
	return nil
}

func (r *replay) add(l line) {
	p := r.hours[l.KeyID]
	if p == nil {
		p = new(anomaly.Present)
		r.hours[l.KeyID] = p
		if r.lives[l.KeyID] == nil {
			r.lives[l.KeyID] = &anomaly.Life{ID: l.KeyID}
		}
	}
	sums := anomaly.Sums{Requests: 1, Answers: l.BytesOut, Tokens: l.Tokens, Spend: int64(l.cost)}
	if cmp.Or(l.Decision, access.Allowed) != access.Allowed || l.Status >= 400 {
		sums.Errors, sums.Denials = anomaly.Refused(l.Status)
	}
	p.Hour = p.Hour.Plus(sums)
	by := slices.IndexFunc(p.Callers, func(c anomaly.Caller) bool { return c.Address == l.Address && c.Agent == l.Agent })
	if by < 0 {
		by, p.Callers = len(p.Callers), append(p.Callers, anomaly.Caller{KeyID: l.KeyID, Address: l.Address, Agent: l.Agent, First: l.At})
	}
	p.Callers[by].Requests, p.Callers[by].Last = p.Callers[by].Requests+1, l.At
	if l.Model == "" {
		return
	}
	of := slices.IndexFunc(p.Uses, func(u anomaly.Use) bool { return u.Model == l.Model })
	if of < 0 {
		of, p.Uses = len(p.Uses), append(p.Uses, anomaly.Use{KeyID: l.KeyID, Model: l.Model, First: l.At})
	}
	u := &p.Uses[of]
	u.Requests, u.Tokens, u.Spend, u.Last = u.Requests+1, u.Tokens+l.Tokens, u.Spend+int64(l.cost), l.At
}
