package idempotency

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
)

// memory is a store for one claim.
type memory struct {
	claim *billing.Claim
	kept  *billing.Claimed
}

func (m *memory) Claim(_ context.Context, c billing.Claim, _, _ time.Time) (*billing.Claimed, error) {
	if m.claim == nil {
		m.claim = &c
		m.kept = &billing.Claimed{RequestID: c.RequestID, Fingerprint: c.Fingerprint, State: billing.ClaimRunning}
		return nil, nil
	}
	return m.kept, nil
}

func (m *memory) Keep(_ context.Context, c billing.Claim, answer []byte, _ time.Time) error {
	m.kept = &billing.Claimed{RequestID: c.RequestID, Fingerprint: c.Fingerprint, State: billing.StateOf(answer), Answer: answer}
	return nil
}

func (m *memory) Forget(context.Context, billing.Claim) error {
	m.claim, m.kept = nil, nil
	return nil
}

func asked(id, body string) Request {
	return Request{ID: id, KeyID: "key_1", Name: "order-4711", Body: []byte(body)}
}

func take(t *testing.T, s Store, r Request) (*Claim, *Answer, error) {
	t.Helper()
	return Take(t.Context(), s, r, time.Unix(0, 0), time.Unix(60, 0))
}

func reason(err error) DuplicateReason {
	var d *DuplicateError
	if !errors.As(err, &d) || d.RequestID != "req_1" {
		return ""
	}
	return d.Reason
}

func TestTheFirstIsAnsweredTheOthersGetItsAnswer(t *testing.T) {
	m := &memory{}
	first, kept, err := take(t, m, asked("req_1", "hi"))
	if first == nil || kept != nil || err != nil {
		t.Fatalf("the first has %v, %v, %v", first, kept, err)
	}
	if _, _, err := take(t, m, asked("req_2", "hi")); reason(err) != DuplicateRunning {
		t.Errorf("while it is answered: %v", err)
	}
	answer := Answer{Header: map[string]string{"Content-Type": "application/json"}, Body: []byte("{\n}")}
	if err := first.Keep(t.Context(), answer, time.Unix(3600, 0)); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(m.kept.Answer, answer.Body) || bytes.Contains(m.kept.Answer, []byte("json")) {
		t.Error("what is kept can be read")
	}
	again, kept, err := take(t, m, asked("req_3", "hi"))
	if again != nil || err != nil || kept.RequestID != "req_1" || string(kept.Body) != "{\n}" ||
		kept.Header["Content-Type"] != "application/json" {
		t.Errorf("sent again: %v, %+v, %v", again, kept, err)
	}
	if _, _, err := take(t, m, asked("req_4", "ho")); reason(err) != DuplicateOther {
		t.Errorf("another body: %v", err)
	}
	elsewhere := asked("req_4", "hi")
	elsewhere.Path = "/v1/embeddings"
	if _, _, err := take(t, m, elsewhere); reason(err) != DuplicateOther {
		t.Errorf("another path: %v", err)
	}
	if err := first.Forget(t.Context()); err != nil || m.claim == nil {
		t.Error("a claim that has ended is given up")
	}
	m.kept.Answer[len(m.kept.Answer)-1]++
	if _, _, err := take(t, m, asked("req_5", "hi")); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("an answer that was changed: %v", err)
	}
}

func TestAnswerThatWasTooLargeIsToldOf(t *testing.T) {
	m := &memory{}
	first, _, _ := take(t, m, asked("req_1", "hi"))
	if err := first.Keep(t.Context(), Answer{}, time.Unix(3600, 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := take(t, m, asked("req_2", "hi")); reason(err) != DuplicateLarge {
		t.Errorf("got %v", err)
	}
}

func TestClaimThatIsGivenUpIsFree(t *testing.T) {
	m := &memory{}
	first, _, _ := take(t, m, asked("req_1", "hi"))
	if err := first.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, _, err := take(t, m, asked("req_2", "hi")); again == nil || err != nil {
		t.Errorf("got %v, %v", again, err)
	}
}
