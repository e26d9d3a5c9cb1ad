package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
)

// Read reads the named file, or ./tallyroute.yaml if none is named and that one exists, and
// applies the environment on top. Whatever could be read is returned along with an error of
// type Faults that lists everything wrong with both.
func Read(file string, env []string) (*Config, error) {
	file, text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	cfg := Default()
	cfg.File = file
	r := newReader(cfg.Source())
	if r.file(text, &cfg) {
		cfg.Text = string(text)
	}
	r.environment(env, &cfg)
	r.check(&cfg)
	r.checkLiterals(&cfg)
	r.checkAlerts(&cfg)
	r.checkForward(&cfg)
	r.checkAnomalies(cfg.Anomalies)
	r.checkRunaway(cfg.Runaway)
	return &cfg, r.faults.Err()
}

// DefaultFile is read if no file is named.
const DefaultFile = "tallyroute.yaml"

// maxConfigBytes is far larger than any configuration that a person writes.
const maxConfigBytes = 1 << 20

// readFile finds the file and reads it.
func readFile(name string) (file string, text []byte, err error) {
	file = name
	if file == "" {
		file = DefaultFile
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) && name == "" {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("configuration: %w", err)
	}
	if info.Size() > maxConfigBytes {
		return "", nil, fmt.Errorf("configuration: %s is larger than %d bytes", file, maxConfigBytes)
	}
	text, err = os.ReadFile(file)
	if err != nil {
		return "", nil, fmt.Errorf("configuration: %w", err)
	}
	return file, text, nil
}

// Decode reads one YAML or JSON document into v, by its json tags. Unknown and duplicate
// fields are refused.
func Decode(text []byte, v any) error {
	if len(text) > maxConfigBytes {
		return fmt.Errorf("it has more than %d bytes", maxConfigBytes)
	}
	plain, err := yaml.YAMLToJSON(text)
	if err != nil {
		return errors.New(strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	d := json.NewDecoder(bytes.NewReader(plain))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it has more than one document")
	}
	return nil
}

// KeepFixed replaces the settings of c that can't change while a router runs by those of
// running, and returns the names of those that differed.
func (c *Config) KeepFixed(running *Config) []string {
	return keepFixed("", reflect.ValueOf(c).Elem(), reflect.ValueOf(running).Elem())
}

func keepFixed(path string, v, running reflect.Value) (changed []string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		at, now, old := joinPath(path, field.Tag.Get("yaml")), v.Field(i), running.Field(i)
		switch {
		case field.Tag.Get("reload") == "no":
			if !reflect.DeepEqual(now.Interface(), old.Interface()) {
				changed = append(changed, at)
				now.Set(old)
			}
		case field.Type.Kind() == reflect.Struct && !isScalar(now):
			changed = append(changed, keepFixed(at, now, old)...)
		}
	}
	return changed
}
