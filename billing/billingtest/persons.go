package billingtest

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
)

func personCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"Pseudonyms": personPseudonyms,
		"Erased":     personErased,
		"Unknown":    personUnknown,
		"Traces":     personTraces,
		"Rejects":    personRejects,
	}
}

// useAs books a row for an end user.
func (w *world) useAs(k *billing.Key, user string, cost billing.Money, at time.Time) {
	w.Helper()
	h := w.holdAt(k, amount{10, cost}, at)
	w.reserve(h)
	row := w.row(k, h.ID, amount{10, cost}, at)
	row.EndUser = user
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
	w.must(err)
}

// rowsOf returns the end users under which the rows of a person are stored.
func (w *world) rowsOf(name string) (stored []string) {
	w.Helper()
	w.must(w.PersonRows(w.Context(), name, func(s billing.Spend) error {
		stored = append(stored, s.EndUser)
		return nil
	}))
	return stored
}

func byUser() billing.SpendQuery {
	return billing.SpendQuery{GroupBy: []billing.Dimension{"end_user"}}
}

func personPseudonyms(w *world) {
	k := w.key()
	w.useAs(k, "ann", 1, w.now)
	w.useAs(k, "ann", 2, w.now.Add(time.Minute))
	w.useAs(k, "bob", 4, w.now)
	stored := w.rowsOf("ann")
	if len(stored) != 2 || stored[0] != stored[1] || !billing.IsPseudonym(stored[0]) {
		w.Fatalf("the rows of ann have %v", stored)
	}
	w.wantSame("by pseudonym", w.rowsOf(stored[0]), stored)
	w.wantSame("shown", w.report(byUser()), map[string]billing.Money{"ann": 3, "bob": 4})
	events, err := w.Events(w.Context(), billing.EventQuery{KeyID: k.ID})
	w.must(err)
	for _, e := range events {
		if e.EndUser != "ann" && e.EndUser != "bob" {
			w.Errorf("an event is shown as of %q", e.EndUser)
		}
	}
	w.useAs(k, stored[0], 8, w.now) // as a correction does, which copies the stored row
	w.wantSame("a pseudonym stays", w.report(byUser()), map[string]billing.Money{"ann": 11, "bob": 4})
}

func personErased(w *world) {
	k := w.key()
	w.useAs(k, "ann", 1, w.now)
	w.useAs(k, "bob", 4, w.now)
	w.report(byUser())
	n := w.note("person.erase", "")
	done, err := w.ErasePerson(w.Context(), billing.PersonErasure{Name: "ann", Now: w.now, Notes: []*billing.Change{n}})
	w.must(err)
	if !billing.IsPseudonym(done.Pseudonym) || n.Object != done.Pseudonym {
		w.Fatalf("erased: %+v, noted of %q", done, n.Object)
	}
	w.wantSame("rows by name", len(w.rowsOf("ann")), 0)
	w.wantSame("rows by pseudonym", w.rowsOf(done.Pseudonym), []string{done.Pseudonym})
	once := billing.PersonErasure{Name: done.Pseudonym, Now: w.now, Again: true, Notes: []*billing.Change{w.note("person.erase", "")}}
	again, err := w.ErasePerson(w.Context(), once)
	w.must(err)
	noted, err := w.ListChanges(w.Context(), billing.ChangeFilter{Action: "person.erase"})
	if w.must(err); again.Pseudonym != done.Pseudonym || len(noted) != 2 || noted[0].Object != done.Pseudonym {
		w.Errorf("erased once more: %+v, noted %+v", again, noted)
	}
	w.wantSame("erased", w.report(byUser()), map[string]billing.Money{done.Pseudonym: 1, "bob": 4})
	w.useAs(k, "ann", 2, w.now)
	if again := w.rowsOf("ann"); len(again) != 1 || again[0] == done.Pseudonym {
		w.Errorf("the same name again is stored as %v", again)
	}
	w.wantSame("after it", w.report(byUser()), map[string]billing.Money{done.Pseudonym: 1, "ann": 2, "bob": 4})
	w.wantProved()
}

func personUnknown(w *world) {
	notes := []*billing.Change{w.note("person.erase", "")}
	_, err := w.ErasePerson(w.Context(), billing.PersonErasure{Name: "nobody", Now: w.now, Notes: notes})
	if !errors.As(err, new(*billing.NotFoundError)) {
		w.Errorf("nobody was erased: %v", err)
	}
	noted, err := w.ListChanges(w.Context(), billing.ChangeFilter{Action: "person.erase"})
	if w.must(err); len(noted) != 0 {
		w.Errorf("noted: %+v", noted)
	}
}

func personTraces(w *world) {
	one, other := w.entry(1, "key_a", "10.0.0.1", "one/1", access.Allowed), w.entry(2, "key_a", "10.0.0.1", "one/1", access.Allowed)
	w.must(w.AppendAccess(w.Context(), []access.Entry{one, other}))
	ids := []string{one.RequestID, "req_none"}
	found, err := w.ForgetRequests(w.Context(), billing.ForgottenRequests{IDs: ids, From: one.At, To: one.At})
	w.must(err)
	w.wantSame("traces", found, billing.Traces{Access: 1})
	left, err := w.ListAccess(w.Context(), access.Query{})
	w.must(err)
	if len(left) != 2 || left[1].Address.IsValid() || left[1].Agent != "" || !left[0].Address.IsValid() {
		w.Errorf("left: %+v", left)
	}
}

func personRejects(w *world) {
	k := w.key()
	row := w.row(k, "req_refused", amount{1, 1}, w.now)
	row.EndUser = "ann"
	replica := w.replica()
	_, err := w.Post(w.Context(), billing.Posting{Replica: replica, Seq: 1, Rejects: []billing.Reject{{Row: row, Reason: "poison"}}})
	w.must(err)
	done, err := w.ErasePerson(w.Context(), billing.PersonErasure{Name: "ann", Now: w.now})
	w.must(err)
	if _, err = w.BookRejects(w.Context(), "req_refused", "ann"); done.Rejects != 1 {
		w.Errorf("erased: %+v", done)
	}
	w.must(err)
	w.wantSame("booked", w.report(byUser()), map[string]billing.Money{done.Pseudonym: 1})
}

// Erasures erases an end user whose rows in a closed month still have the plain name, as rows
// from before pseudonyms do. exec runs a statement, as in Mutations.
func Erasures(t *testing.T, s billing.Store, exec func(sql string) error) {
	w := &world{T: t, Store: s, now: noon(), ids: new(atomic.Int64)}
	k := w.key()
	w.useAs(k, "ann", 1, w.now)
	w.useAs(k, "bob", 2, w.now)
	w.useAs(k, "ann", 4, april())
	w.must(exec("UPDATE spend_events SET end_user = (SELECT shown FROM end_users WHERE stored = end_user) WHERE report_day < '2026-04-01'"))
	w.close("2026-03", april())
	w.wantSame("both", w.report(byUser()), map[string]billing.Money{"ann": 5, "bob": 2})
	stored := w.rowsOf("ann")
	if len(stored) != 2 || stored[0] != "ann" || !billing.IsPseudonym(stored[1]) {
		t.Fatalf("the rows of ann have %v", stored)
	}
	done, err := s.ErasePerson(t.Context(), billing.PersonErasure{Name: "ann", Plain: true, Now: april()})
	w.must(err)
	w.wantSame("erased", w.report(byUser()), map[string]billing.Money{done.Pseudonym: 5, "bob": 2})
	w.wantSame("rows by name", len(w.rowsOf("ann")), 0)
	w.wantSame("rows by pseudonym", len(w.rowsOf(done.Pseudonym)), 2)
	if done.Pseudonym != stored[1] {
		t.Errorf("erased as %s, stored as %s", done.Pseudonym, stored[1])
	}
	w.wantProved()
}
