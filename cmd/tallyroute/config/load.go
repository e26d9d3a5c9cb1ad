package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Read reads the named file, or ./tallyroute.yaml where none is named and that one
// exists, and lays the environment over it. What it could read is returned beside
// an error that is Faults: all that is wrong with both.
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
	return &cfg, r.faults.Err()
}

// DefaultFile is read where no file is named.
const DefaultFile = "tallyroute.yaml"

// maxConfigBytes is far above any configuration that a person writes.
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
