package billingtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tallyroute/billing"
)

func responseCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"KeptForTheirKey":      responsesOfKeys,
		"Conversation":         responseConversation,
		"OldestOfAKeyMakeRoom": responsesMakeRoom,
		"AllHaveABound":        responsesFull,
		"ManyAtOnce":           responsesAtOnce,
		"Expire":               responsesExpire,
		"SealedAnew":           responsesResealed,
	}
}

var wide = billing.ResponseBounds{Responses: 100, KeyBytes: 1 << 20, Bytes: 1 << 30}

func (w *world) response(key, id, previous, sealed string) billing.StoredResponse {
	w.now = w.now.Add(time.Second)
	return billing.StoredResponse{
		ID: id, KeyID: billing.KeyID(key), Previous: previous, Sealed: []byte(sealed), CreatedAt: w.now, ExpiresAt: w.now.Add(time.Hour),
	}
}

func (w *world) keep(r billing.StoredResponse) billing.StoredResponse {
	w.Helper()
	w.must(w.StoreResponse(w.Context(), r, wide))
	return r
}

func (w *world) wantNoResponse(key, id string, at time.Time) {
	w.Helper()
	if r, err := w.Response(w.Context(), billing.KeyID(key), id, at); !errors.Is(err, billing.ErrNoResponse) {
		w.Errorf("%s of %s: %+v, %v", id, key, r, err)
	}
}

func responsesOfKeys(w *world) {
	want := w.response("key_1", "resp_1", "", "sealed")
	want.Temporary = "tk_1"
	w.keep(want)
	w.keep(want) // the answer to the first call may have been lost
	got, err := w.Response(w.Context(), "key_1", "resp_1", w.now)
	w.must(err)
	if got.ID != want.ID || got.KeyID != want.KeyID || got.Temporary != want.Temporary || !bytes.Equal(got.Sealed, want.Sealed) ||
		!got.CreatedAt.Equal(want.CreatedAt) || !got.ExpiresAt.Equal(want.ExpiresAt) {
		w.Errorf("got %+v, want %+v", got, want)
	}
	w.wantNoResponse("key_2", "resp_1", w.now)
	w.wantNoResponse("key_1", "resp_2", w.now)
	if err := w.DeleteResponse(w.Context(), "key_2", "resp_1", w.now); !errors.Is(err, billing.ErrNoResponse) {
		w.Errorf("another key deletes it: %v", err)
	}
	w.must(w.DeleteResponse(w.Context(), "key_1", "resp_1", w.now))
	w.wantNoResponse("key_1", "resp_1", w.now)
	if err := w.DeleteResponse(w.Context(), "key_1", "resp_1", w.now); !errors.Is(err, billing.ErrNoResponse) {
		w.Errorf("deleted twice: %v", err)
	}
}

func responseConversation(w *world) {
	w.keep(w.response("key_1", "resp_1", "", "one"))
	w.keep(w.response("key_1", "resp_2", "resp_1", "two"))
	w.keep(w.response("key_1", "resp_3", "resp_2", "three"))
	w.keep(w.response("key_2", "resp_4", "resp_3", "four"))
	conversation := func(key billing.KeyID, id string, most int64) (ids []string, err error) {
		list, err := w.Conversation(w.Context(), key, id, most, w.now)
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		return ids, err
	}
	got, err := conversation("key_1", "resp_3", 100)
	w.must(err)
	if want := []string{"resp_1", "resp_2", "resp_3"}; !slices.Equal(got, want) {
		w.Errorf("got %v, want %v", got, want)
	}
	if got, err = conversation("key_1", "resp_3", 10); !errors.Is(err, billing.ErrLongConversation) {
		w.Errorf("of 11 bytes, where there may be 10: %v, %v", got, err)
	}
	if _, err = conversation("key_2", "resp_4", 100); !errors.Is(err, billing.ErrNoResponse) {
		w.Errorf("one that goes on from another key's: %v", err)
	}
	w.must(w.DeleteResponse(w.Context(), "key_1", "resp_2", w.now))
	if _, err = conversation("key_1", "resp_3", 100); !errors.Is(err, billing.ErrNoResponse) {
		w.Errorf("one of which a part was deleted: %v", err)
	}
}

func responsesMakeRoom(w *world) {
	other := w.keep(w.response("key_2", "resp_other", "", "12345"))
	within := billing.ResponseBounds{Responses: 3, KeyBytes: 20, Bytes: 1 << 20}
	for i := range 5 {
		w.must(w.StoreResponse(w.Context(), w.response("key_1", fmt.Sprintf("resp_%d", i), "", "12345"), within))
	}
	for i := range 2 {
		w.wantNoResponse("key_1", fmt.Sprintf("resp_%d", i), w.now)
	}
	w.must(w.StoreResponse(w.Context(), w.response("key_1", "resp_5", "", "123456789012345"), within)) // as large as three others
	for id, there := range map[string]bool{"resp_3": false, "resp_4": true, "resp_5": true} {
		if _, err := w.Response(w.Context(), "key_1", id, w.now); (err == nil) != there {
			w.Errorf("%s: %v", id, err)
		}
	}
	if err := w.StoreResponse(w.Context(), w.response("key_1", "resp_6", "", "123456789012345678901"), within); !errors.Is(err,
		billing.ErrResponsesFull) {
		w.Errorf("one that is larger than all may be: %v", err)
	}
	if _, err := w.Response(w.Context(), "key_2", other.ID, w.now); err != nil {
		w.Errorf("of another key: %v", err)
	}
}

func responsesFull(w *world) {
	within := billing.ResponseBounds{Responses: 100, KeyBytes: 1000, Bytes: 12}
	w.must(w.StoreResponse(w.Context(), w.response("key_1", "resp_1", "", "12345"), within))
	w.must(w.StoreResponse(w.Context(), w.response("key_2", "resp_2", "", "12345"), within))
	if err := w.StoreResponse(w.Context(), w.response("key_3", "resp_3", "", "12345"), within); !errors.Is(err, billing.ErrResponsesFull) {
		w.Errorf("the third of 5 bytes, of 12: %v", err)
	}
	w.wantNoResponse("key_3", "resp_3", w.now)
	w.must(w.DeleteResponse(w.Context(), "key_1", "resp_1", w.now))
	w.must(w.StoreResponse(w.Context(), w.response("key_3", "resp_3", "", "12345"), within))
}

// responsesAtOnce checks that the bounds hold while responses are stored and deleted concurrently.
func responsesAtOnce(w *world) {
	within := billing.ResponseBounds{Responses: 4, KeyBytes: 1000, Bytes: 50}
	var list []billing.StoredResponse
	for i := range 40 {
		list = append(list, w.response(fmt.Sprintf("key_%d", i%5), fmt.Sprintf("resp_%d", i), "", "12345"))
	}
	var all sync.WaitGroup
	for i, r := range list {
		all.Go(func() {
			if err := w.StoreResponse(w.Context(), r, within); err != nil && !errors.Is(err, billing.ErrResponsesFull) {
				w.Errorf("%s: %v", r.ID, err)
			}
			if i%4 == 0 {
				if err := w.DeleteResponse(w.Context(), r.KeyID, r.ID, w.now); err != nil && !errors.Is(err, billing.ErrNoResponse) {
					w.Errorf("%s: %v", r.ID, err)
				}
			}
		})
	}
	all.Wait()
	of := map[billing.KeyID]int{}
	there := 0
	for _, r := range list {
		if _, err := w.Response(w.Context(), r.KeyID, r.ID, w.now); err == nil {
			of[r.KeyID]++
			there++
		}
	}
	if there == 0 || there > 10 {
		w.Errorf("%d of 5 bytes are there, of 50 bytes", there)
	}
	for key, n := range of {
		if n > 4 {
			w.Errorf("%s has %d", key, n)
		}
	}
}

func responsesExpire(w *world) {
	r := w.keep(w.response("key_1", "resp_1", "", "one"))
	w.keep(w.response("key_1", "resp_2", "resp_1", "two"))
	w.wantNoResponse("key_1", "resp_1", r.ExpiresAt)
	if _, err := w.Conversation(w.Context(), "key_1", "resp_2", 100, r.ExpiresAt); !errors.Is(err, billing.ErrNoResponse) {
		w.Errorf("a conversation of which a part has expired: %v", err)
	}
	if err := w.DeleteResponse(w.Context(), "key_1", "resp_1", r.ExpiresAt); !errors.Is(err, billing.ErrNoResponse) {
		w.Errorf("one that has expired is deleted: %v", err)
	}
	n, err := w.ExpireResponses(w.Context(), r.ExpiresAt)
	w.must(err)
	if n != 1 {
		w.Errorf("%d were removed, want 1", n)
	}
	w.wantNoResponse("key_1", "resp_1", r.CreatedAt) // deleted, not only expired
	n, err = w.ExpireResponses(w.Context(), r.ExpiresAt.Add(time.Hour))
	if w.must(err); n != 1 {
		w.Errorf("%d were removed, want 1", n)
	}
}

// responsesResealed checks that all are passed once, in parts, and that what is stored is what was
// returned, together with the notes.
func responsesResealed(w *world) {
	for _, r := range []billing.StoredResponse{
		w.response("key_1", "resp_1", "", strings.Repeat("a", billing.ResealBytes)), w.response("key_1", "resp_2", "resp_1", "old"),
		w.response("key_2", "resp_3", "", "new"),
	} {
		w.must(w.StoreResponse(w.Context(), r, billing.ResponseBounds{Responses: 9, KeyBytes: 1 << 30, Bytes: 1 << 30}))
	}
	var passed []string
	parts := 0
	for after := ""; ; parts++ {
		last, err := w.ResealResponses(w.Context(), after, func(list []billing.StoredResponse) (out []billing.StoredResponse, err error) {
			for _, r := range list {
				passed = append(passed, r.ID)
				if string(r.Sealed) == "old" {
					r.Sealed = []byte("new")
					out = append(out, r)
				}
			}
			return out, nil
		}, w.note("secrets.rekey", "responses"))
		if w.must(err); last == "" {
			break
		}
		after = last
	}
	if want := []string{"resp_1", "resp_2", "resp_3"}; !slices.Equal(passed, want) || parts < 2 {
		w.Errorf("passed %v in %d parts, want %v", passed, parts, want)
	}
	for id, key := range map[string]billing.KeyID{"resp_2": "key_1", "resp_3": "key_2"} {
		if r, err := w.Response(w.Context(), key, id, w.now); err != nil || string(r.Sealed) != "new" {
			w.Errorf("%s: %q, %v", id, r.Sealed, err)
		}
	}
	all, err := w.ListChanges(w.Context(), billing.ChangeFilter{Object: "responses"})
	if w.must(err); len(all) != 1 {
		w.Errorf("%d records, want one for the part that was changed", len(all))
	}
	no := errors.New("no")
	_, err = w.ResealResponses(w.Context(), "", func(list []billing.StoredResponse) ([]billing.StoredResponse, error) {
		list[0].Sealed = []byte("none")
		return list[:1], no
	})
	w.wantErr(err, no)
}
