package manage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"tallyroute/billing"
)

// Rekeyed is the outcome of re-encrypting what is stored after a change of key.
type Rekeyed struct {
	Changed    int `json:"changed"`
	Already    int `json:"already" doc:"Those already encrypted with the new key."`
	Unreadable int `json:"unreadable" doc:"Responses that no key of the configuration opens; they expire."`
}

func (r *Rekeyed) add(more Rekeyed) {
	r.Changed, r.Already, r.Unreadable = r.Changed+more.Changed, r.Already+more.Already, r.Unreadable+more.Unreadable
}

// note returns the details of the record.
func (r Rekeyed) note() map[string]string {
	return map[string]string{"changed": fmt.Sprint(r.Changed), "already": fmt.Sprint(r.Already)}
}

// Rekey re-encrypts every stored secret and every kept response with the current key. If it
// fails halfway, what is done stays done; running it again does the rest.
func (a Actions) Rekey(ctx context.Context, by By) (r Rekeyed, err error) {
	up, err := a.upstreams()
	if err == nil {
		err = cmp.Or(by.check(), canSeal(ctx, up))
	}
	if err != nil {
		return r, err
	}
	all, err := a.Store.ListCredentials(ctx)
	if err != nil {
		return r, err
	}
	for _, c := range all {
		if err := a.rekey(ctx, up, c.ID, by, &r); err != nil {
			return r, &billing.ConflictError{Detail: fmt.Sprintf("%s/%s: %s; %d secrets were sealed anew before it", c.Provider, c.Name,
				strings.TrimPrefix(err.Error(), "envelope: "), r.Changed)}
		}
	}
	return r, a.rekeyResponses(ctx, up, by, &r)
}

// rekeyResponses re-encrypts the kept responses, some at a time.
func (a Actions) rekeyResponses(ctx context.Context, up Upstreams, by By, r *Rekeyed) error {
	for after := ""; ; {
		done, note := Rekeyed{}, a.note(by.step(), "secrets.rekey", "responses")
		last, err := a.Store.ResealResponses(ctx, after, func(list []billing.StoredResponse) (changed []billing.StoredResponse, err error) {
			done = Rekeyed{}
			for _, one := range list {
				under, anew, err := up.Rekey(ctx, one.Sealed, one.About())
				switch one.Sealed = under; {
				case err != nil:
					done.Unreadable++
				case anew:
					done.Changed++
					changed = append(changed, one)
				default:
					done.Already++
				}
			}
			if note.Detail = done.note(); by.DryRun {
				changed = nil
			}
			return changed, nil
		}, note)
		if err != nil || last == "" {
			return err
		}
		r.add(done)
		after = last
	}
}

func (a Actions) rekey(ctx context.Context, up Upstreams, id string, by By, r *Rekeyed) error {
	done, note := Rekeyed{}, a.note(by.step(), "secrets.rekey", id)
	_, err := a.Store.UpdateCredential(ctx, id, func(c *billing.Credential) error {
		done = Rekeyed{}
		for i := range c.Versions {
			v := &c.Versions[i]
			under, changed, err := up.Rekey(ctx, v.Sealed, AboutCredential(c.ID, v.Number))
			if err != nil {
				return err
			}
			if v.Sealed = under; changed {
				done.Changed++
			} else {
				done.Already++
			}
		}
		if done.Changed == 0 || by.DryRun {
			return errEnded
		}
		note.Detail = done.note()
		return nil
	}, note)
	if errors.Is(err, errEnded) || missing(err) {
		err = nil
	}
	r.add(done)
	return err
}
