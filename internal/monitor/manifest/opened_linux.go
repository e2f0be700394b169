package manifest

// handsFiles says whether a task can be handed open files as /dev/fd/3, 4 …
const handsFiles = true
