package notify

import (
	"errors"
	"time"
)

// Message is an alert as a channel gets it; a webhook gets it in JSON.
type Message struct {
	ID         string            `json:"id"` // the same in every channel and at every try
	Kind       string            `json:"kind"`
	Severity   string            `json:"severity"` // info, warning or critical
	Object     string            `json:"object"`
	Title      string            `json:"title"`
	Text       string            `json:"text"`
	Remedy     string            `json:"remedy"` // what to do
	TeamID     string            `json:"team_id,omitempty"`
	Team       string            `json:"team,omitempty"`
	Owner      string            `json:"owner,omitempty"` // the address of who answers for the object
	Data       map[string]string `json:"data"`
	OccurredAt time.Time         `json:"occurred_at"`
	Try        int               `json:"try"`
}

// ErrNobody is that a message has nobody to go to: no other try would end better.
var ErrNobody = errors.New("notify: the object has no owner with an address")
