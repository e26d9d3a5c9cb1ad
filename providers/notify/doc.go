// Package notify sends alerts to channels: webhooks, Slack, Microsoft Teams, PagerDuty
// and e-mail. To send the same alert twice is no fault: its id is the same.
package notify
