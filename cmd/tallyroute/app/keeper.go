package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/managers"
	"tallyroute/cmd/tallyroute/metrics"
	"tallyroute/cmd/tallyroute/upstream"
	"tallyroute/providers/secret"
	"tallyroute/providers/secret/manager"
)

// secretHappening is what happened to a secret, and when.
type secretHappening struct {
	manager.Report
	at time.Time
}

// mostHappenings is how many may wait for the database. What comes beyond is in the log.
const mostHappenings = 1024

// secrets are what managers keep, with what is told of it.
type secrets struct {
	*manager.Keeper
	log      *zap.Logger
	metrics  *metrics.Metrics
	rotated  chan struct{}        // a secret has, since the configuration was read
	happened chan secretHappening // to be written down

	mu     sync.Mutex
	sealed map[string]manager.State // stored credentials that cannot be opened, by their references
}

// openSecrets makes the keeper of what managers of secrets have.
func openSecrets(cfg *config.Config, log *zap.Logger, m *metrics.Metrics) (*secrets, error) {
	s := &secrets{log: log, metrics: m, rotated: make(chan struct{}, 1), happened: make(chan secretHappening, mostHappenings)}
	k, err := managers.New(cfg.Secrets, manager.Options{Report: s.changed})
	if err != nil {
		return nil, err
	}
	s.Keeper = k
	m.WatchSecrets(s.states)
	return s, nil
}

// states are how all secrets are: those of managers, and stored credentials that cannot be
// opened.
func (s *secrets) states() []manager.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.States()
	for _, ref := range slices.Sorted(maps.Keys(s.sealed)) {
		list = append(list, s.sealed[ref])
	}
	return list
}

// opened tells which stored credentials cannot be opened any more, and which can again.
func (s *secrets) opened(l *upstream.Loaded) {
	now := time.Now()
	sealed := make(map[string]manager.State)
	for name, err := range l.Unreadable {
		sealed[storedRef+name] = manager.State{Ref: storedRef + name, Err: err, Since: now}
	}
	for name, err := range l.Held {
		sealed[storedRef+name] = manager.State{Ref: storedRef + name, Err: err, Since: now, Fetched: now}
	}
	s.mu.Lock()
	before := s.sealed
	for ref, st := range sealed {
		if was, is := before[ref]; is {
			st.Since = was.Since
			sealed[ref] = st
		}
	}
	s.sealed = sealed
	s.mu.Unlock()
	for _, ref := range slices.Sorted(maps.Keys(sealed)) {
		if _, is := before[ref]; !is {
			s.changed(manager.Report{Ref: ref, What: manager.Failed, Err: sealed[ref].Err, Known: !sealed[ref].Fetched.IsZero()})
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(before)) {
		if _, is := sealed[ref]; !is && l.Opened(strings.TrimPrefix(ref, storedRef)) {
			s.changed(manager.Report{Ref: ref, What: manager.Recovered})
		}
	}
}

// storedRef begins what a stored credential is called among secrets.
const storedRef = secret.Stored + ":"

// changed tells what happened to a secret. It keeps nobody waiting: the first use of a
// version is told of by the request that uses it.
func (s *secrets) changed(r manager.Report) {
	fields := []zap.Field{zap.String("secret", r.Ref), zap.String("version", r.Version)}
	switch {
	case r.What == manager.Failed && strings.HasPrefix(r.Ref, storedRef):
		s.log.Error("a stored credential cannot be opened", append(fields, zap.Bool("goes_on", r.Known), zap.Error(r.Err))...)
	case r.What == manager.Failed && r.Known:
		s.log.Error("a secret cannot be fetched; the last known version stays in use", append(fields, zap.Error(r.Err))...)
	case r.What == manager.Failed:
		s.log.Error("a secret cannot be fetched, and no version of it is known", append(fields, zap.Error(r.Err))...)
	case r.What == manager.FirstUse:
		s.log.Info("a version of a secret is used for the first time", fields...)
	default:
		s.log.Info("a secret was "+r.What, fields...)
	}
	s.metrics.SecretChanged(r.What)
	select {
	case s.happened <- secretHappening{r, time.Now()}:
	default:
	}
	if r.What == manager.Rotated || r.What == manager.Recovered {
		select {
		case s.rotated <- struct{}{}:
		default: // it is told already
		}
	}
}

// noteAgain is how soon it is tried again to write down what happened.
const noteAgain = 5 * time.Second

// note writes down what happens to secrets, until ctx ends.
func (s *secrets) note(ctx context.Context, up func() bool, to billing.EventLog) error {
	process := ulid.Make().String()
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-s.happened:
			for !up() || to.WriteEvents(ctx, h.event(process)) != nil {
				if !Wait(ctx, noteAgain) {
					return nil
				}
			}
		}
	}
}

// event is what is written down: once for each process and version.
func (h secretHappening) event(process string) billing.Event {
	e := billing.Event{
		Kind: billing.EventSecret, Object: h.Ref, Severity: billing.Info, At: h.at,
		Data:    map[string]string{"what": h.What, "version": h.Version},
		DedupID: strings.Join([]string{string(billing.EventSecret), process, h.What, h.Ref, h.Version}, ":"),
	}
	switch h.What {
	case manager.Failed:
		e.Severity, e.DedupID = billing.Warning, fmt.Sprint(e.DedupID, ":", h.at.UnixNano())
		e.Text = fmt.Sprintf("The secret %s cannot be fetched (%s); what was fetched last stays in use.", h.Ref, manager.KindOf(h.Err))
		e.Data["kind"] = string(manager.KindOf(h.Err))
		if name, stored := strings.CutPrefix(h.Ref, storedRef); stored {
			e.Text = fmt.Sprintf("The stored credential %s cannot be opened by a router: it is sealed under another key than "+
				"secrets.encryption_key.", name)
			e.Data["kind"] = "sealed"
		}
	case manager.Recovered:
		e.DedupID = fmt.Sprint(e.DedupID, ":", h.at.UnixNano())
		e.Text = fmt.Sprintf("The secret %s can be fetched again.", h.Ref)
	case manager.FirstUse:
		e.Text = fmt.Sprintf("The version %q of the secret %s was used for the first time.", h.Version, h.Ref)
	default:
		e.Text = fmt.Sprintf("The version %q of the secret %s was fetched.", h.Version, h.Ref)
	}
	return e
}

// stale is what a probe may read of secrets that cannot be fetched; "" where all
// can. It names none.
func (s *secrets) stale() string {
	failing, missing, all := 0, 0, s.states()
	var since time.Time
	for _, st := range all {
		if st.Err == nil {
			continue
		}
		failing++
		if st.Fetched.IsZero() {
			missing++
		}
		if since.IsZero() || st.Since.Before(since) {
			since = st.Since
		}
	}
	if failing == 0 {
		return ""
	}
	text := fmt.Sprintf("%d of %d cannot be fetched since %s", failing, len(all), since.UTC().Format(time.RFC3339))
	if missing > 0 {
		text += fmt.Sprintf("; %d never could be", missing)
	}
	if missing < failing {
		text += "; what was fetched last is used"
	}
	return text
}
