package billingtest

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
)

func secretCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"RotationKeepsTheOldSecretUntilItsEnd":   rotateOverlap,
		"RotationWithoutOverlapEndsTheOldSecret": rotateAtOnce,
		"RotationOfOneNameIsOneVersion":          rotateOnce,
		"RotationIsRefusedOfEndedKeys":           rotateRefused,
		"QuietSecretsEnd":                        rotateQuiet,
		"UseAddsUp":                              secretUse,
		"HandoverIsOpenedOnce":                   handoverOnce,
		"HandoverEnds":                           handoverEnds,
		"ArchivedKeyHasNoSecrets":                archiveKey,
		"ArchivedTeamHasNoSecrets":               archiveTeam,
		"DeliveryGoesOnAfterACrashAnywhere":      deliverThroughCrashes,
		"DeliveryFailsAndTheOldSecretStays":      deliverToNobody,
		"NewerSecretIsDeliveredInTheEnd":         deliverNewest,
		"CopiesOfArchivedKeysAreDeleted":         deleteCopies,
		"LeakedSecretEndsItsKeyUnlessItHasEnded": leakedSecret,
	}
}

// rotation returns a rotation of the key to a new secret, which ends the old one after overlap.
func (w *world) rotation(k *billing.Key, secret string, overlap time.Duration) billing.Rotation {
	return billing.Rotation{
		KeyID: k.ID, Hash: hashOf(secret), Display: "sk-tr-…" + secret, Until: w.now.Add(overlap), Now: w.now,
	}
}

func (w *world) rotate(r billing.Rotation) billing.Rotated {
	w.Helper()
	done, err := w.RotateSecret(w.Context(), r)
	w.must(err)
	return done
}

// by returns the key that a secret opens.
func (w *world) by(secret string) *billing.Key {
	w.Helper()
	k, err := w.KeyByHash(w.Context(), hashOf(secret))
	w.must(err)
	return &k
}

func rotateOverlap(w *world) {
	w.now = time.Now().UTC().Truncate(time.Second) // the database's clock also decides which secrets are valid
	k := w.key(tokens(100).budget("bud_1"))
	if k.Secret != (billing.SecretState{Number: 1}) || k.RotatedAt.IsZero() {
		w.Errorf("of one secret: %+v, made %s", k.Secret, k.RotatedAt)
	}
	done := w.rotate(w.rotation(k, "two", time.Hour))
	if done.Number != 2 || done.Existed || done.Key.Version <= k.Version || done.Key.Display != "sk-tr-…two" ||
		!done.Key.RotatedAt.Equal(w.now) {
		w.Errorf("rotated: %+v", done)
	}
	old, fresh := w.reread(k), w.by("two")
	if old.ID != fresh.ID || old.Version != fresh.Version {
		w.Errorf("two keys: %+v, %+v", old, fresh)
	}
	w.wantSame("budgets", old.Budgets, fresh.Budgets)
	if !old.Secret.Old() || !old.Secret.Shared || !old.Secret.Until.Equal(w.now.Add(time.Hour)) {
		w.Errorf("the old secret: %+v", old.Secret)
	}
	if fresh.Secret.Old() || !fresh.Secret.Shared || fresh.Secret.Number != 2 {
		w.Errorf("the new secret: %+v", fresh.Secret)
	}
	w.must(old.InForce(w.now.Add(time.Hour - time.Second)))
	w.wantErr(old.InForce(w.now.Add(time.Hour)), billing.ErrRotated)
	w.must(fresh.InForce(w.now.Add(48 * time.Hour)))
	list, err := w.ListSecrets(w.Context(), k.ID)
	w.must(err)
	if len(list) != 2 || list[0].Number != 2 || !list[0].ValidUntil.IsZero() || list[1].Display != k.Display ||
		!list[1].ValidUntil.Equal(w.now.Add(time.Hour)) {
		w.Errorf("versions: %+v", list)
	}
	// A later rotation does not postpone the end that was set for the first secret.
	w.rotate(w.rotation(k, "three", 24*time.Hour))
	if again := w.reread(k).Secret; !again.Until.Equal(w.now.Add(time.Hour)) {
		w.Errorf("after another rotation the first secret ends at %s", again.Until)
	}
}

func rotateAtOnce(w *world) {
	k := w.key()
	w.rotate(w.rotation(k, "two", 0))
	w.wantErr(w.reread(k).InForce(w.now), billing.ErrRotated)
	w.must(w.by("two").InForce(w.now))
	_, err := w.RotateSecret(w.Context(), w.rotation(k, "two", 0))
	w.wantErr(err, billing.ErrDuplicate)
}

func rotateOnce(w *world) {
	k := w.key()
	const many = 100
	var all sync.WaitGroup
	numbers := make(chan int, many)
	fresh := make(chan bool, many)
	for range many {
		all.Go(func() {
			r := w.rotation(k, "two", time.Hour)
			r.Once = "name"
			done, err := w.RotateSecret(w.Context(), r, &billing.Change{
				At: w.now, Actor: "ann", Action: "key.rotate",
				Object: string(k.ID),
			})
			if err != nil {
				w.Error(err)
			}
			numbers <- done.Number
			fresh <- !done.Existed
		})
	}
	all.Wait()
	close(numbers)
	close(fresh)
	made := 0
	for f := range fresh {
		if f {
			made++
		}
	}
	for n := range numbers {
		if n != 2 {
			w.Errorf("version %d", n)
		}
	}
	list, err := w.ListSecrets(w.Context(), k.ID)
	w.must(err)
	changes, err := w.ListChanges(w.Context(), billing.ChangeFilter{Object: string(k.ID)})
	w.must(err)
	if made != 1 || len(list) != 2 || len(changes) != 1 {
		w.Errorf("%d rotations of one name: %d were new, %d versions, %d changes", many, made, len(list), len(changes))
	}
}

func rotateRefused(w *world) {
	k := w.key()
	_, err := w.RotateSecret(w.Context(), billing.Rotation{KeyID: "key_nobody", Hash: hashOf("x"), Now: w.now})
	w.wantNotFound(err, "key")
	for n := range billing.MostSecrets - 1 {
		w.rotate(w.rotation(k, fmt.Sprint("more", n), time.Hour))
	}
	_, err = w.RotateSecret(w.Context(), w.rotation(k, "too many", time.Hour))
	w.wantConflict(err)
	w.rotate(w.rotation(k, "at once", 0))
	_, err = w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error { k.RevokedAt = w.now; return nil })
	w.must(err)
	_, err = w.RotateSecret(w.Context(), w.rotation(k, "revoked", 0))
	w.wantConflict(err)
}

func rotateQuiet(w *world) {
	k := w.key()
	r := w.rotation(k, "two", 0)
	r.Until, r.Quiet = time.Time{}, 6*time.Hour
	w.rotate(r)
	if s := w.reread(k).Secret; s.Quiet != 6*time.Hour || !s.Until.IsZero() || !s.Old() {
		w.Errorf("a secret that ends once it is quiet: %+v", s)
	}
	w.must(w.NoteSecretUse(w.Context(), []billing.SecretUse{{KeyID: k.ID, Number: 1, At: w.now.Add(3 * time.Hour), Requests: 1}}))
	ended, err := w.EndQuietSecrets(w.Context(), w.now.Add(8*time.Hour))
	w.must(err)
	if len(ended) != 0 {
		w.Errorf("ended while it was used: %v", ended)
	}
	before := w.reread(k).Version
	ended, err = w.EndQuietSecrets(w.Context(), w.now.Add(9*time.Hour))
	w.must(err)
	old := w.reread(k)
	if len(ended) != 1 || ended[0] != k.ID || old.Version <= before || w.by("two").Secret.Old() {
		w.Errorf("after six quiet hours: %v, %+v", ended, old.Secret)
	}
	w.wantErr(old.InForce(w.now.Add(9*time.Hour)), billing.ErrRotated)
}

func secretUse(w *world) {
	k := w.key()
	w.rotate(w.rotation(k, "two", time.Hour))
	use := billing.SecretUse{
		KeyID: k.ID, Number: 1, At: w.now, Requests: 3, From: map[string]int64{"10.0.0.1": 2, "10.0.0.2": 1},
		Agents: map[string]int64{"curl": 3},
	}
	w.must(w.NoteSecretUse(w.Context(), []billing.SecretUse{use, {KeyID: "key_nobody", Number: 1, At: w.now, Requests: 1}}))
	use.At = w.now.Add(10 * time.Minute)
	w.must(w.NoteSecretUse(w.Context(), []billing.SecretUse{use, {KeyID: k.ID, Number: 2, At: w.now, Requests: 6}}))
	list, err := w.ListSecrets(w.Context(), k.ID)
	w.must(err)
	now := w.now.Add(10 * time.Minute)
	if n := list[1].Use.Requests(now); n != 6 || list[1].Use.From["10.0.0.1"] != 4 || list[1].Use.Agents["curl"] != 6 {
		w.Errorf("the old version: %d requests, %+v", n, list[1].Use)
	}
	if n := list[0].Use.Requests(now); n != 6 || !list[1].LastUsedAt.Equal(use.At) {
		w.Errorf("the new version: %d requests; the old one was last used %s", n, list[1].LastUsedAt)
	}
	if n := list[1].Use.Requests(now.Add(2 * time.Hour)); n != 0 {
		w.Errorf("two hours later %d requests are of the last hour", n)
	}
	_, err = w.EraseAccess(w.Context(), access.Query{Address: netip.MustParseAddr("10.0.0.1")}, w.note("access.erase", "access_log"))
	w.must(err)
	list, err = w.ListSecrets(w.Context(), k.ID)
	if w.must(err); list[1].Use.From["10.0.0.1"] != 0 {
		w.Errorf("an erased address is still known to have used the old version: %+v", list[1].Use)
	}
}

func handoverOnce(w *world) {
	p := w.project("web", "shop")
	w.must(w.CreateKey(w.Context(), billing.Key{ID: "key_1", Name: "a", ProjectID: p.ID, CreatedAt: w.now}, [32]byte{}))
	offer := billing.Handover{
		Token: hashOf("token"), KeyID: "key_1", By: "ann", CreatedAt: w.now, ExpiresAt: w.now.Add(time.Hour), Overlap: time.Minute,
	}
	w.must(w.OfferSecret(w.Context(), billing.Handover{
		Token: hashOf("first"), KeyID: "key_1", By: "ann", CreatedAt: w.now,
		ExpiresAt: offer.ExpiresAt,
	}))
	w.must(w.OfferSecret(w.Context(), offer)) // replaces the first
	pending, err := w.ListHandovers(w.Context(), "key_1", w.now)
	w.must(err)
	w.wantSame("pending", pending, []billing.Handover{offer})
	take := billing.Rotation{Hash: hashOf("secret"), Display: "sk-tr-…x", Now: w.now}
	_, err = w.TakeSecret(w.Context(), hashOf("first"), take)
	w.wantErr(err, billing.ErrNoHandover)
	done, err := w.TakeSecret(w.Context(), hashOf("token"), take)
	w.must(err)
	if done.Key.ID != "key_1" || done.Number != 1 || done.Key.RotatedAt.IsZero() {
		w.Errorf("opened: %+v", done)
	}
	take.Hash = hashOf("other")
	_, err = w.EndHandover(w.Context(), hashOf("token"), w.now)
	w.wantErr(err, billing.ErrNoHandover)
	_, err = w.TakeSecret(w.Context(), hashOf("token"), take)
	w.wantErr(err, billing.ErrNoHandover)
	w.must(w.by("secret").InForce(w.now))
	if pending, err = w.ListHandovers(w.Context(), "key_1", w.now); err != nil || len(pending) != 0 {
		w.Errorf("pending after it was opened: %v, %v", pending, err)
	}
}

func handoverEnds(w *world) {
	k := w.key()
	w.must(w.OfferSecret(w.Context(), billing.Handover{
		Token: hashOf("token"), KeyID: k.ID, By: "ann", CreatedAt: w.now,
		ExpiresAt: w.now.Add(time.Hour),
	}))
	_, err := w.TakeSecret(w.Context(), hashOf("token"), billing.Rotation{Hash: hashOf("secret"), Now: w.now.Add(time.Hour)})
	w.wantErr(err, billing.ErrNoHandover)
	if id, err := w.EndHandover(w.Context(), hashOf("token"), w.now); err != nil || id != k.ID {
		w.Errorf("ended: %s, %v", id, err)
	}
	_, err = w.TakeSecret(w.Context(), hashOf("token"), billing.Rotation{Hash: hashOf("secret"), Now: w.now})
	w.wantErr(err, billing.ErrNoHandover)
	w.wantNotFound(w.OfferSecret(w.Context(), billing.Handover{
		Token: hashOf("t"), KeyID: "key_nobody", CreatedAt: w.now,
		ExpiresAt: w.now,
	}), "key")
}

// archived archives a key.
func (w *world) archived(k *billing.Key) error {
	k.RevokedAt, k.ArchivedAt = w.now, w.now
	return nil
}

func archiveKey(w *world) {
	k := w.key()
	w.must(w.OfferSecret(w.Context(), billing.Handover{
		Token: hashOf("token"), KeyID: k.ID, By: "ann", CreatedAt: w.now,
		ExpiresAt: w.now.Add(time.Hour),
	}))
	w.keep(w.response(string(k.ID), "resp_1", "", "sealed"))
	w.keep(w.response("key_other", "resp_2", "", "sealed"))
	got, err := w.UpdateKey(w.Context(), k.ID, w.archived)
	w.must(err)
	w.wantNoResponse(string(k.ID), "resp_1", w.now)
	_, err = w.Response(w.Context(), "key_other", "resp_2", w.now)
	w.must(err)
	if got.Status(w.now) != "archived" {
		w.Errorf("archived: %s", got.Status(w.now))
	}
	w.wantGone(k)
	_, err = w.TakeSecret(w.Context(), hashOf("token"), billing.Rotation{Hash: hashOf("secret"), Now: w.now})
	w.wantErr(err, billing.ErrNoHandover)
	list, err := w.ListKeys(w.Context(), billing.KeyFilter{Status: "archived", Now: w.now})
	w.must(err)
	if len(list) != 1 {
		w.Errorf("%d archived keys", len(list))
	}
}

// wantGone checks that no secret opens the key any more.
func (w *world) wantGone(k *billing.Key) {
	w.Helper()
	_, err := w.KeyByHash(w.Context(), hashOf(string(k.ID)))
	w.wantErr(err, billing.ErrUnknownKey)
	versions, err := w.ListSecrets(w.Context(), k.ID)
	w.must(err)
	if len(versions) != 0 {
		w.Errorf("key %s has %d secrets", k.ID, len(versions))
	}
}

func archiveTeam(w *world) {
	shop, blog, other := w.project("web", "shop"), w.project("web", "blog"), w.project("data", "lake")
	a, b, c := w.keyIn(shop), w.keyIn(blog), w.keyIn(other)
	_, err := w.UpdateProject(w.Context(), blog.ID, func(p *billing.Project) error { p.ArchivedAt = w.now; return nil })
	w.must(err)
	w.wantGone(b)
	w.must(w.reread(a).InForce(w.now))
	_, err = w.UpdateTeam(w.Context(), shop.TeamID, func(t *billing.Team) error { t.ArchivedAt = w.now; return nil })
	w.must(err)
	w.wantGone(a)
	w.must(w.reread(c).InForce(w.now))
	list, err := w.ListKeys(w.Context(), billing.KeyFilter{Status: "archived", Now: w.now})
	w.must(err)
	if len(list) != 2 || list[0].RevokedAt.IsZero() || list[0].RevokedReason == "" {
		w.Errorf("archived: %+v", list)
	}
	projects, err := w.ListProjects(w.Context())
	w.must(err)
	for _, p := range projects {
		if p.ArchivedAt.IsZero() != (p.ID == other.ID) {
			w.Errorf("project %s archived %s", p.Name, p.ArchivedAt)
		}
	}
	if again := w.project("web", "shop"); again.ID == shop.ID || again.TeamID == shop.TeamID {
		w.Error("an archived team was found by its name")
	}
}

// Killing calls do with a store that dies at its n-th step. It returns false if do took fewer
// steps.
type Killing func(n int, do func(billing.Store)) (killed bool)

// RotationsSurviveKills rotates keys while their store dies at the first step, the second, and
// so on. After each death the rotation is either complete or was never begun, the previous
// secret still works, and a retry completes the rotation exactly once.
func RotationsSurviveKills(t *testing.T, s billing.Store, kill Killing) {
	t.Helper()
	p, err := s.EnsureProject(t.Context(), billing.Project{Name: "p", Team: "t"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	whole, killed := 0, 0
	for n := 0; n < mostSteps; n++ {
		id := billing.KeyID(billing.NewID("key_"))
		first, second := sha256.Sum256([]byte(id+" 1")), sha256.Sum256([]byte(id+" 2"))
		k := billing.Key{ID: id, ProjectID: p.ID, Name: "k", CreatedBy: "test", CreatedAt: now}
		if err := s.CreateKey(t.Context(), k, first); err != nil {
			t.Fatal(err)
		}
		r := billing.Rotation{KeyID: id, Hash: second, Display: "new", Until: now.Add(time.Hour), Once: fmt.Sprint(n), Now: now}
		note := func() *billing.Change {
			return &billing.Change{At: now, Actor: "test", Action: "key.rotate", Object: string(id)}
		}
		died := kill(n, func(s billing.Store) { _, _ = s.RotateSecret(t.Context(), r, note()) })
		begun := rotationIsWhole(t, s, r, first)
		if begun {
			whole++
		}
		done, err := s.RotateSecret(t.Context(), r, note())
		if err != nil || done.Existed != begun || done.Number != 2 {
			t.Fatalf("asked for again after step %d: %+v, %v; it was done before: %t", n, done, err, begun)
		}
		if !rotationIsWhole(t, s, r, first) {
			t.Fatalf("asked for again after step %d, it is not done", n)
		}
		if !died {
			t.Logf("killed at %d steps; %d rotations were whole before they were asked for again", killed, whole)
			if killed == 0 || whole == 0 {
				t.Error("nothing was killed, or nothing ever done")
			}
			return
		}
		killed++
	}
	t.Errorf("a rotation has %d steps", mostSteps)
}

// mostSteps is more steps than a rotation takes.
const mostSteps = 200

// rotationIsWhole reports whether a rotation was made. It fails the test if only half of it was.
func rotationIsWhole(t *testing.T, s billing.Store, r billing.Rotation, first [32]byte) bool {
	t.Helper()
	versions, err := s.ListSecrets(t.Context(), r.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := s.ListChanges(t.Context(), billing.ChangeFilter{Object: string(r.KeyID), Action: "key.rotate"})
	if err != nil {
		t.Fatal(err)
	}
	old, err := s.KeyByHash(t.Context(), first)
	if err != nil || old.InForce(r.Now) != nil {
		t.Fatalf("the old secret: %v, %v", old.InForce(r.Now), err)
	}
	fresh, err := s.KeyByHash(t.Context(), r.Hash)
	switch done := len(versions) == 2; {
	case !done && (len(versions) != 1 || len(changes) != 0 || err == nil || !old.Secret.Until.IsZero() || old.Version != 1):
	case done && (len(changes) != 1 || err != nil || fresh.Display != r.Display || !old.Secret.Until.Equal(r.Until) || old.Version != 2):
	default:
		return done
	}
	t.Fatalf("half a rotation: %d versions, %d records, new secret %v, old until %s, version %d",
		len(versions), len(changes), err, old.Secret.Until, old.Version)
	return false
}
