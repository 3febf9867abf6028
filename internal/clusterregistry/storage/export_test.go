package storage

// Blind switches off the look after publication, to show what is lost without it.
func Blind(d *Driver) { d.blind = true }
