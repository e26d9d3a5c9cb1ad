package billingtest

import (
	"errors"
	"time"

	"tallyroute/billing"
)

func upstreamCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"CredentialsAreKept":          credentialsKept,
		"UseOfCredentialsOnlyGoesOn":  credentialsUsed,
		"ProvidersAreKept":            providersKept,
		"ChangesOfProvidersAreMarked": providersRevised,
	}
}

func (w *world) credential(id, name string) billing.Credential {
	c := billing.Credential{
		ID: id, Provider: "acme", Name: name, Owner: "ann@example.com", Weight: 3, CreatedAt: w.now, CreatedBy: "ann",
		ExpiresAt: w.now.Add(time.Hour),
		Versions:  []billing.CredentialVersion{{Number: 1, Sealed: []byte{0, 1, 255}, RemoteID: "key_1", CreatedAt: w.now}},
	}
	w.must(w.CreateCredential(w.Context(), c, w.note("credential.create", id)))
	return c
}

func (w *world) credentials() []billing.Credential {
	w.Helper()
	all, err := w.ListCredentials(w.Context())
	w.must(err)
	return all
}

// credentialsKept: credentials are stored completely or not at all, and their names are unique.
func credentialsKept(w *world) {
	b, a := w.credential("cred_1", "b"), w.credential("cred_2", "a")
	w.wantSame("credentials", w.credentials(), []billing.Credential{a, b})
	var conflict *billing.ConflictError
	twin := billing.Credential{ID: "cred_3", Provider: "acme", Name: "a", CreatedAt: w.now}
	if err := w.CreateCredential(w.Context(), twin); !errors.As(err, &conflict) {
		w.Errorf("a name twice: %v", err)
	}
	no := errors.New("no")
	_, err := w.UpdateCredential(w.Context(), a.ID, func(c *billing.Credential) error { c.Name = "x"; c.Versions = nil; return no },
		w.note("credential.change", a.ID))
	w.wantErr(err, no)
	_, err = w.UpdateCredential(w.Context(), a.ID, func(c *billing.Credential) error { c.Name = "b"; return nil })
	if !errors.As(err, &conflict) {
		w.Errorf("renamed to another's name: %v", err)
	}
	second := billing.CredentialVersion{Number: 2, Sealed: []byte("two"), CreatedAt: w.now}
	got, err := w.UpdateCredential(w.Context(), a.ID, func(c *billing.Credential) error {
		c.Versions[0].EndsAt, c.Versions[0].Sealed = w.now.Add(time.Hour), []byte("rekeyed")
		c.Versions = append([]billing.CredentialVersion{second}, c.Versions...)
		c.Weight, c.Owner, c.ExpiresAt, c.DisabledAt = 0, "", time.Time{}, w.now
		return nil
	}, w.note("credential.rotate", a.ID))
	w.must(err)
	w.wantSame("stored", w.credentials()[0], got)
	if len(got.Versions) != 2 || got.Versions[0].Number != 2 || string(got.Versions[1].Sealed) != "rekeyed" || got.Weight != 0 {
		w.Errorf("%+v", got)
	}
	got, err = w.UpdateCredential(w.Context(), a.ID, func(c *billing.Credential) error { c.Versions = c.Versions[:1]; return nil })
	w.must(err)
	w.wantSame("without the first version", w.credentials()[0], got)
	_, err = w.UpdateCredential(w.Context(), "cred_none", func(*billing.Credential) error { return nil })
	w.wantNotFound(err, "credential")
	w.must(w.DeleteCredential(w.Context(), a.ID, w.note("credential.remove", a.ID)))
	w.wantNotFound(w.DeleteCredential(w.Context(), a.ID, w.note("credential.remove", a.ID)), "credential")
	w.wantSame("what is left", w.credentials(), []billing.Credential{b})
	notes, err := w.ListChanges(w.Context(), billing.ChangeFilter{Object: a.ID})
	w.must(err)
	if len(notes) != 3 {
		w.Errorf("there are %d notes, want those of what was done", len(notes))
	}
}

// credentialsUsed: an older report of use does not replace a newer one.
func credentialsUsed(w *world) {
	later := w.now.Add(time.Minute)
	use := billing.CredentialUse{Provider: "acme", Credential: "a@1", UsedAt: later}
	w.must(w.UseCredentials(w.Context(), []billing.CredentialUse{use, {Provider: "acme", FailedAt: later, Failure: "quota"}}))
	w.must(w.UseCredentials(w.Context(), []billing.CredentialUse{
		{Provider: "acme", Credential: "a@1", UsedAt: w.now, FailedAt: w.now, Failure: "credential"},
		{Provider: "acme", FailedAt: w.now, Failure: "credential"},
	}))
	w.must(w.UseCredentials(w.Context(), nil))
	all, err := w.CredentialUses(w.Context())
	w.must(err)
	use.FailedAt, use.Failure = w.now, "credential"
	w.wantSame("uses", all, []billing.CredentialUse{{Provider: "acme", FailedAt: later, Failure: "quota"}, use})
}

func providersKept(w *world) {
	p := billing.StoredProvider{Name: "acme", Document: `{"base_url":"https://a.example"}`, UpdatedAt: w.now, UpdatedBy: "ann"}
	w.must(w.PutProvider(w.Context(), p, w.note("provider.add", p.Name)))
	p.Document, p.UpdatedAt = `{"base_url":"https://b.example"}`, w.now.Add(time.Minute)
	w.must(w.PutProvider(w.Context(), p, w.note("provider.update", p.Name)))
	all, err := w.ListProviders(w.Context())
	w.must(err)
	w.wantSame("providers", all, []billing.StoredProvider{p})
	w.must(w.DeleteProvider(w.Context(), p.Name, w.note("provider.remove", p.Name)))
	w.wantNotFound(w.DeleteProvider(w.Context(), p.Name), "provider")
}

// providersRevised: every change of a provider or credential gives a new revision, and nothing
// else does.
func providersRevised(w *world) {
	seen := map[int64]bool{}
	changed := func(what string, want bool) {
		w.Helper()
		n, err := w.ProviderRevision(w.Context())
		w.must(err)
		if seen[n] == want {
			w.Errorf("%s: revision %d", what, n)
		}
		seen[n] = true
	}
	changed("at first", true)
	c := w.credential("cred_1", "a")
	changed("created", true)
	_, err := w.UpdateCredential(w.Context(), c.ID, func(c *billing.Credential) error { c.Weight = 0; return nil })
	w.must(err)
	changed("updated", true)
	w.must(w.UseCredentials(w.Context(), []billing.CredentialUse{{Provider: "acme", Credential: "a@1", UsedAt: w.now}}))
	w.wantNotFound(w.DeleteProvider(w.Context(), "none"), "provider")
	changed("used", false)
	w.must(w.DeleteCredential(w.Context(), c.ID))
	changed("deleted", true)
	w.must(w.PutProvider(w.Context(), billing.StoredProvider{Name: "acme", Document: "{}", UpdatedAt: w.now}))
	changed("a provider", true)
	w.must(w.DeleteProvider(w.Context(), "acme"))
	changed("no provider", true)
}
