package billingtest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"tallyroute/billing"
)

func keyCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"KeepsEverything":            keyKeepsEverything,
		"UnknownHash":                keyUnknownHash,
		"Duplicate":                  keyDuplicate,
		"NeedsItsProject":            keyNeedsItsProject,
		"RevokedAndExpiredAreFound":  keyDeadIsFound,
		"UpdateRaisesVersion":        keyUpdate,
		"UpdateThatFails":            keyUpdateFails,
		"UpdateMoves":                keyMoves,
		"UpdateIsAtomic":             keyUpdateAtomic,
		"ListFilters":                keyFilters,
		"ListPages":                  keyPages,
		"QueryIsLiteral":             keyQueryLiteral,
		"Touch":                      keyTouch,
		"KeysShareTheirOwnersBudget": keySharesBudgets,
	}
}

func keyKeepsEverything(w *world) {
	p := w.project("web", "shop")
	limit := tokens(100).budget("bud_1")
	limit.Period, limit.Zone = billing.PeriodDay, "Asia/Kolkata"
	limit.Action, limit.Thresholds = billing.ActionAlert, []int{90}
	money := billing.Money(5)
	limit.Money = &money
	k := billing.Key{
		ID: "key_1", Name: "checkout", Display: "sk-tr-prod-…x7qd", ProjectID: p.ID,
		Models:        []string{"cheap", "openai/*"},
		AllowedCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
		AllowUnpriced: true, AllowProviderObjects: true, KeepResponses: true,
		Tags:    map[string]string{"feature": "checkout", "ключ": "値"},
		Budgets: []billing.Budget{limit},
		Purpose: "pays at the till", Address: "ann@example.com", Sensitivity: billing.SensitivityHigh, RotateEvery: 48 * time.Hour,
		Client: billing.ClientBrowser, CreatedBy: "ann", CreatedAt: w.now, ExpiresAt: w.now.AddDate(0, 3, 0),
	}
	w.must(w.CreateKey(w.Context(), k, hashOf("key_1")))
	k.RotatedAt = w.now

	k.Project, k.Team, k.TeamID, k.CostCenter, k.Environment = p.Name, p.Team, p.TeamID, p.CostCenter, p.Environment
	k.Budgets[0].ScopeID = "key_1"
	got, err := w.KeyByHash(w.Context(), hashOf("key_1"))
	w.must(err)
	if got.Version < 1 {
		w.Errorf("version %d", got.Version)
	}
	k.Version, k.Secret = got.Version, billing.SecretState{Number: 1}
	w.wantSame("by hash", got, k)
	k.Secret = billing.SecretState{}
	list, err := w.ListKeys(w.Context(), billing.KeyFilter{})
	w.must(err)
	w.wantSame("list", list, []billing.Key{k})
}

func keyUnknownHash(w *world) {
	w.key()
	_, err := w.KeyByHash(w.Context(), hashOf("nobody"))
	w.wantErr(err, billing.ErrUnknownKey)
	_, err = w.UpdateKey(w.Context(), "key_nobody", func(*billing.Key) error { return nil })
	w.wantNotFound(err, "key")
}

func keyDuplicate(w *world) {
	p := w.project("web", "shop")
	limit := tokens(1).budget("bud_1")
	w.must(w.CreateKey(w.Context(), billing.Key{ID: "key_1", Name: "a", ProjectID: p.ID, Budgets: []billing.Budget{limit}}, hashOf("one")))
	w.wantErr(w.CreateKey(w.Context(), billing.Key{ID: "key_1", Name: "b", ProjectID: p.ID}, hashOf("two")), billing.ErrDuplicate)
	w.wantErr(w.CreateKey(w.Context(), billing.Key{ID: "key_2", Name: "b", ProjectID: p.ID}, hashOf("one")), billing.ErrDuplicate)
	w.wantErr(w.CreateKey(w.Context(), billing.Key{ID: "key_3", Name: "b", ProjectID: p.ID, Budgets: []billing.Budget{limit}},
		hashOf("three")), billing.ErrDuplicate)
	keys, err := w.ListKeys(w.Context(), billing.KeyFilter{})
	w.must(err)
	if len(keys) != 1 || keys[0].Name != "a" {
		w.Errorf("refused keys left something: %v", keys)
	}
}

func keyNeedsItsProject(w *world) {
	w.wantNotFound(w.CreateKey(w.Context(), billing.Key{ID: "key_1", ProjectID: "proj_none"}, hashOf("one")), "project")
	_, err := w.KeyByHash(w.Context(), hashOf("one"))
	w.wantErr(err, billing.ErrUnknownKey)
}

func keyDeadIsFound(w *world) {
	k := w.key()
	got, err := w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error {
		k.RevokedAt, k.RevokedReason, k.ExpiresAt = w.now, "left the company", w.now.Add(-time.Hour)
		k.TokensFrom = w.now
		return nil
	})
	w.must(err)
	if !got.RevokedAt.Equal(w.now) || got.RevokedReason != "left the company" || !got.ExpiresAt.Equal(w.now.Add(-time.Hour)) {
		w.Errorf("got %+v", got)
	}
	got.Secret.Number = 1
	w.wantSame("by hash", w.reread(k), &got)
}

func keyUpdate(w *world) {
	k := w.key()
	got, err := w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error {
		k.Name, k.Models, k.AllowedCIDRs, k.Tags = "other", []string{"a"}, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
			map[string]string{"a": "b"}
		k.AllowUnpriced, k.ExpiresAt = true, w.now
		k.Purpose, k.Address, k.Sensitivity, k.RotateEvery = "tills", "bob@example.com", billing.SensitivityLow, time.Hour
		k.Client = billing.ClientBrowser
		k.DisabledAt, k.DisabledBy, k.DisabledReason = w.now, "bob", "leaked?"
		return nil
	})
	w.must(err)
	if got.Version <= k.Version || got.Name != "other" || !got.AllowUnpriced ||
		!got.CreatedAt.Equal(k.CreatedAt) || got.Purpose != "tills" || got.Sensitivity != billing.SensitivityLow ||
		got.RotateEvery != time.Hour || got.Client != billing.ClientBrowser ||
		got.Address != "bob@example.com" || got.DisabledReason != "leaked?" {
		w.Errorf("got %+v after %+v", got, k)
	}
	w.wantErr((&billing.Key{DisabledAt: got.DisabledAt}).InForce(w.now), billing.ErrDisabled)
	got.Secret.Number = 1
	w.wantSame("by hash", w.reread(k), &got)
}

func keyUpdateFails(w *world) {
	k := w.key()
	why := errors.New("no")
	_, err := w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error {
		k.Name = "other"
		return why
	})
	w.wantErr(err, why)
	w.wantSame("by hash", w.reread(k), k)
}

// keyMoves moves a key to another project. Earlier spend stays where it was.
func keyMoves(w *world) {
	k := w.key()
	old := w.budget(billing.ScopeTeam, k.TeamID, tokens(100))
	k = w.reread(k)
	w.use(k, tokens(10), w.now)
	p := w.project("data", "lake")
	fresh := w.budget(billing.ScopeTeam, p.TeamID, tokens(100))

	moved, err := w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error {
		k.ProjectID = p.ID
		return nil
	})
	w.must(err)
	if moved.TeamID != p.TeamID || moved.Team != "data" || moved.Project != "lake" || moved.CostCenter != "cc-data" ||
		len(moved.Budgets) != 1 {
		w.Errorf("got %+v", moved)
	}
	w.wantStanding(&moved, fresh, w.now, standing{})
	w.wantStanding(k, old, w.now, standing{used: amount{10, 0}})

	_, err = w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error {
		k.ProjectID = "proj_none"
		return nil
	})
	w.wantNotFound(err, "project")
}

func keyUpdateAtomic(w *world) {
	k := w.key()
	const n = 32
	var failed atomic.Int64
	each(w.Context(), n, func(ctx context.Context, _ int) {
		_, err := w.UpdateKey(ctx, k.ID, func(k *billing.Key) error {
			k.RotateEvery += time.Hour
			return nil
		})
		if err != nil {
			failed.Add(1)
		}
	})
	got := w.reread(k)
	if failed.Load() != 0 || got.RotateEvery != n*time.Hour || got.Version != k.Version+n {
		w.Errorf("%d failed; counted to %s, version from %d to %d", failed.Load(), got.RotateEvery, k.Version, got.Version)
	}
}

func keyFilters(w *world) {
	shop, lake := w.project("web", "shop"), w.project("data", "lake")
	active, expired, revoked, later := w.keyIn(shop), w.keyIn(shop), w.keyIn(lake), w.keyIn(lake)
	w.change(expired, func(k *billing.Key) { k.ExpiresAt = w.now })
	w.change(revoked, func(k *billing.Key) { k.RevokedAt, k.ExpiresAt = w.now, w.now })
	w.change(later, func(k *billing.Key) { k.ExpiresAt = w.now.Add(time.Microsecond) })
	tests := map[string]struct {
		filter billing.KeyFilter
		want   []*billing.Key
	}{
		"all":                {billing.KeyFilter{}, []*billing.Key{active, expired, revoked, later}},
		"id":                 {billing.KeyFilter{ID: expired.ID}, []*billing.Key{expired}},
		"unknown id":         {billing.KeyFilter{ID: "key_none"}, nil},
		"team by name":       {billing.KeyFilter{Team: "data"}, []*billing.Key{revoked, later}},
		"team by id":         {billing.KeyFilter{Team: shop.TeamID}, []*billing.Key{active, expired}},
		"project by name":    {billing.KeyFilter{Project: "shop"}, []*billing.Key{active, expired}},
		"project by id":      {billing.KeyFilter{Project: lake.ID}, []*billing.Key{revoked, later}},
		"active":             {billing.KeyFilter{Status: "active", Now: w.now}, []*billing.Key{active, later}},
		"expired":            {billing.KeyFilter{Status: "expired", Now: w.now}, []*billing.Key{expired}},
		"revoked":            {billing.KeyFilter{Status: "revoked", Now: w.now}, []*billing.Key{revoked}},
		"several":            {billing.KeyFilter{Status: "active", Team: "data", Query: "name", Now: w.now}, []*billing.Key{later}},
		"part of the name":   {billing.KeyFilter{Query: string(active.ID)}, []*billing.Key{active}},
		"team of no project": {billing.KeyFilter{Team: "web", Project: "lake"}, nil},
	}
	for name, tt := range tests {
		got, err := w.ListKeys(w.Context(), tt.filter)
		w.must(err)
		if g, want := idsOf(got), idsOfRefs(tt.want); g != want {
			w.Errorf("%s: got %s, want %s", name, g, want)
		}
	}
	if _, err := w.ListKeys(w.Context(), billing.KeyFilter{Status: "asleep"}); err == nil {
		w.Error("a status that does not exist is accepted")
	}
}

// change updates a key in the store.
func (w *world) change(k *billing.Key, how func(k *billing.Key)) *billing.Key {
	w.Helper()
	got, err := w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error {
		how(k)
		return nil
	})
	w.must(err)
	return &got
}

func idsOf(keys []billing.Key) string {
	var ids []string
	for _, k := range keys {
		ids = append(ids, string(k.ID))
	}
	return strings.Join(ids, " ")
}

func idsOfRefs(keys []*billing.Key) string {
	var all []billing.Key
	for _, k := range keys {
		all = append(all, *k)
	}
	return idsOf(all)
}

func keyPages(w *world) {
	p := w.project("web", "shop")
	const n = 205
	for i := range n {
		id := fmt.Sprintf("key_%03d", i)
		w.must(w.CreateKey(w.Context(), billing.Key{ID: billing.KeyID(id), Name: id, ProjectID: p.ID}, hashOf(id)))
	}
	for limit, want := range map[int]int{0: 200, 1: 1, 200: 200, 201: 200, 1_000_000_000: 200, -1: 200} {
		got, err := w.ListKeys(w.Context(), billing.KeyFilter{Limit: limit})
		w.must(err)
		if len(got) != want {
			w.Errorf("limit %d gives %d keys, want %d", limit, len(got), want)
		}
	}
	var after billing.KeyID
	for i := 0; i < n; {
		page, err := w.ListKeys(w.Context(), billing.KeyFilter{After: after, Limit: 50})
		w.must(err)
		if len(page) == 0 {
			w.Fatalf("the pages end after %d of %d", i, n)
		}
		for _, k := range page {
			if want := fmt.Sprintf("key_%03d", i); string(k.ID) != want {
				w.Fatalf("got %s, want %s", k.ID, want)
			}
			i++
		}
		after = page[len(page)-1].ID
	}
}

// keyQueryLiteral searches for characters that have a special meaning in SQL.
func keyQueryLiteral(w *world) {
	p := w.project("web", "shop")
	names := []string{"100% sure", "a_b", "acb", `back\slash`, "quote's", `dollar $1 "x"`, "[ab]*", "Größe"}
	for i, name := range names {
		id := fmt.Sprintf("key_%d", i)
		w.must(w.CreateKey(w.Context(), billing.Key{ID: billing.KeyID(id), Name: name, ProjectID: p.ID}, hashOf(id)))
	}
	for query, want := range map[string]string{
		"%": "key_0", "_": "key_1", "a_b": "key_1", `\`: "key_3", "'": "key_4", `"`: "key_5", "$1": "key_5", "[": "key_6", "*": "key_6",
		"öß":     "key_7",
		"%%%%_%": "", "SURE": "", ";drop": "", "' OR 1=1 --": "", "\x00": "", "\xff": "",
	} {
		got, err := w.ListKeys(w.Context(), billing.KeyFilter{Query: query})
		w.must(err)
		if idsOf(got) != want {
			w.Errorf("%q finds %q, want %q", query, idsOf(got), want)
		}
	}
}

func keyTouch(w *world) {
	a, b := w.key(), w.key()
	touch := func(used map[billing.KeyID]time.Time) { w.must(w.TouchKeys(w.Context(), used)) }
	touch(nil)
	touch(map[billing.KeyID]time.Time{a.ID: w.now, "key_none": w.now})
	touch(map[billing.KeyID]time.Time{a.ID: w.now.Add(-time.Hour), b.ID: w.now.Add(time.Hour)})
	gotA, gotB := w.reread(a), w.reread(b)
	if !gotA.LastUsedAt.Equal(w.now) || !gotB.LastUsedAt.Equal(w.now.Add(time.Hour)) {
		w.Errorf("last used at %v and %v", gotA.LastUsedAt, gotB.LastUsedAt)
	}
	if gotA.Version != a.Version || gotB.Version != b.Version {
		w.Error("being used raised a version")
	}
	w.change(a, func(k *billing.Key) { k.Name = "other" })
	if got := w.reread(a); !got.LastUsedAt.Equal(w.now) {
		w.Errorf("a change moved it to %v", got.LastUsedAt)
	}
}

// keySharesBudgets checks that all budgets that apply to a key are listed, ordered by id.
func keySharesBudgets(w *world) {
	k := w.key(tokens(1).budget("bud_m"))
	w.keyIn(w.project("web", "other"), tokens(1).budget("bud_not_mine"))
	other := w.project("data", "lake")
	for id, scope := range map[string][2]string{
		"bud_a": {"team", k.TeamID}, "bud_z": {"project", k.ProjectID}, "bud_b": {"org", "org"},
		"bud_c": {"team", other.TeamID}, "bud_d": {"project", other.ID},
	} {
		b := tokens(1).budget(id)
		b.Scope, b.ScopeID = billing.Scope(scope[0]), scope[1]
		w.must(w.SetBudget(w.Context(), b, w.now))
	}
	var ids []string
	for _, b := range w.reread(k).Budgets {
		ids = append(ids, b.ID)
	}
	w.wantSame("budgets", ids, []string{"bud_a", "bud_b", "bud_m", "bud_z"})
}
