package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"tallyroute/billing"
)

// read decodes the body into v. A member that is not known is refused: it may
// be a limit that the caller believes to be set.
func read(c *gin.Context, v any) error {
	if ct, _, _ := strings.Cut(c.GetHeader("Content-Type"), ";"); ct != "" && !strings.EqualFold(strings.TrimSpace(ct), "application/json") {
		return &problem{status: http.StatusUnsupportedMediaType, kind: "invalid_request_error", code: "unsupported_media_type", message: "The body must be JSON.", fix: "Send Content-Type: application/json."}
	}
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return decodeProblem(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("", "Something follows the JSON object.")
	}
	return nil
}

var unknownField = regexp.MustCompile(`unknown field "(.{1,64}?)"`)

func decodeProblem(err error) error {
	var wrongType *json.UnmarshalTypeError
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &wrongType):
		return invalid(wrongType.Field, fmt.Sprintf("%s: a %s is not what belongs here.", wrongType.Field, wrongType.Value))
	}
	if m := unknownField.FindStringSubmatch(err.Error()); m != nil {
		return &problem{status: 422, kind: "invalid_request_error", code: "unknown_field", param: m[1], message: fmt.Sprintf("There is no member %q here.", m[1])}
	}
	return &problem{status: 400, kind: "invalid_request_error", code: "invalid_json", message: "The body is not valid JSON."}
}

// usd is money as decimal dollars in a string.
type usd billing.Money

// UnmarshalJSON reads "50.00". A number is refused: it may have lost digits
// before it came here.
func (u *usd) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return invalid("usd", `An amount of money is a string in decimal dollars, such as "50.00".`)
	}
	m, err := billing.ParseMoney(text)
	if err != nil {
		return invalid("usd", fmt.Sprintf("%.40q is not an amount in dollars with at most nine decimals.", text))
	}
	*u = usd(m)
	return nil
}

// MarshalJSON writes decimal dollars as a string.
func (u usd) MarshalJSON() ([]byte, error) { return json.Marshal(billing.Money(u).Short()) }

// span is a duration that is also written in days: "90d", "24h".
type span time.Duration

// UnmarshalJSON reads a duration.
func (s *span) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return invalid("expires_in", `A duration is a string such as "24h" or "90d".`)
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			*s = span(time.Duration(n) * 24 * time.Hour)
			return nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return invalid("expires_in", `A duration is a string such as "24h" or "90d".`)
	}
	*s = span(d)
	return nil
}

// instant is a time in RFC 3339, or null.
func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}
