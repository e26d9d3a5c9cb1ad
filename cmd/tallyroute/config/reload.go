package config

import "reflect"

// KeepFixed puts the settings of running that cannot change while a router runs in
// the place of those of c, and names the ones that were others.
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
