package wake

// JobByCronJob is the field index of Jobs by the name of the CronJob that owns them.
const JobByCronJob = "metadata.ownerReferences.cronJob"
