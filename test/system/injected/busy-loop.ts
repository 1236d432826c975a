import { rmSync } from 'node:fs'

/** Loaded into the agent under test: blocks the event loop for good when the file `$BUSY_LOOP_TRIGGER` appears. */
const trigger = process.env['BUSY_LOOP_TRIGGER'] ?? ''

setInterval(() => {
  try {
    rmSync(trigger)
  } catch {
    return // not yet
  }
  for (;;);
}, 100).unref()
