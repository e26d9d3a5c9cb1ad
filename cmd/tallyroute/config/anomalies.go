package config

import "time"

// Anomalies are how the use of keys is watched.
type Anomalies struct {
	Every     Duration `yaml:"every"`     // 0 is never
	Countries string   `yaml:"countries"` // a file in MaxMind's format; "" knows no country
	Disable   bool     `yaml:"disable"`   // keys whose use is critical
}

func (r *reader) checkAnomalies(a Anomalies) {
	if a.Every != 0 && (a.Every < Duration(time.Second) || a.Every > Duration(time.Hour)) {
		r.fault("anomalies.every", "want 1s to 1h, or 0 for never")
	}
}
