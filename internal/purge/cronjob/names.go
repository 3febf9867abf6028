package cronjob

// LeaseName is the name of the Lease that one purge of a store at a time holds.
func LeaseName(store string) string { return store + "-purge" }
