package prove

import (
	"os"
	"sync"
	"testing"
)

// Template is the content of a file that takes long to make. It is made once and
// copied for each test.
type Template struct {
	once    sync.Once
	content []byte
	err     error
}

// Copy writes the content to path. The first call has fill make it, in a file next
// to path that fill must close before it returns.
func (m *Template) Copy(t testing.TB, path string, fill func(path string) error) {
	t.Helper()
	m.once.Do(func() {
		made := path + ".template"
		if m.err = fill(made); m.err == nil {
			m.content, m.err = os.ReadFile(made)
		}
	})
	if m.err != nil {
		t.Fatal(m.err)
	}
	if err := os.WriteFile(path, m.content, 0o600); err != nil {
		t.Fatal(err)
	}
}
