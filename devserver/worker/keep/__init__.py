"""Whether a process that has loaded the script and run init() can stand for a fresh start of the files as they are now.

`History` watches load and init(); `decide` compares what was saved with what was watched and gives a `Plan` or the
`Reason` why not; `forkable` says whether the process may be forked; in the fork `apply` changes the code and `mend`
puts right what a fork changes.
"""
