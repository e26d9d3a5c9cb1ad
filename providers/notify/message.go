package notify

import (
	"errors"
	"time"
)

// Message is an alert as a channel receives it; a webhook receives it as JSON.
type Message struct {
	ID         string            `json:"id"` // the same in every channel and on every attempt
	Kind       string            `json:"kind"`
	Severity   string            `json:"severity"` // info, warning or critical
	Object     string            `json:"object"`
	Title      string            `json:"title"`
	Text       string            `json:"text"`
	Remedy     string            `json:"remedy"` // what to do
	TeamID     string            `json:"team_id,omitempty"`
	Team       string            `json:"team,omitempty"`
	Owner      string            `json:"owner,omitempty"` // the address of the person responsible for the object
	Data       map[string]string `json:"data"`
	OccurredAt time.Time         `json:"occurred_at"`
	Try        int               `json:"try"`
}

// ErrNobody reports that a message has no recipient; retrying would not help.
var ErrNobody = errors.New("notify: the object has no owner with an address")
