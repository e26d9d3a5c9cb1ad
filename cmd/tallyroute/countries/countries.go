// Package countries looks up the country of an address in a file in MaxMind's format that
// the administrator provides. It queries no external service.
package countries

import (
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// File is such a file. It is reread when it has changed. The zero value knows no countries.
type File struct {
	mu      sync.Mutex
	path    string
	size    int64
	changed time.Time
	reader  *maxminddb.Reader
}

// Use makes f use the file at path; "" uses none. If the file can't be read, the previous
// contents stay in use.
func (f *File) Use(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if path == "" {
		f.path, f.reader = "", nil
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if f.reader != nil && f.path == path && f.size == info.Size() && f.changed.Equal(info.ModTime()) {
		return nil
	}
	// Read into memory rather than mapped: whoever replaces the file may write into it.
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	reader, err := maxminddb.OpenBytes(text)
	if err != nil {
		return err
	}
	f.path, f.size, f.changed, f.reader = path, info.Size(), info.ModTime(), reader
	return nil
}

// Country returns the ISO code of the country of an address; "" if it is unknown.
func (f *File) Country(a netip.Addr) string {
	f.mu.Lock()
	reader := f.reader
	f.mu.Unlock()
	if reader == nil || !a.IsValid() {
		return ""
	}
	found := reader.Lookup(a.Unmap().WithZone(""))
	for _, at := range []string{"country", "registered_country"} {
		code := ""
		if err := found.DecodePath(&code, at, "iso_code"); err == nil && code != "" {
			return code
		}
	}
	return ""
}
