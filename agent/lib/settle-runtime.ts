import { flushCompileCache, getCompileCacheDir } from 'node:module'
import { setFlagsFromString } from 'node:v8'

/**
 * Once, when all is loaded that is needed at once: writes what Node keeps of compiled modules, where `$NODE_COMPILE_CACHE` names a
 * folder for that, which Node does itself only at an end that the agent does not have (`exit-now.ts`). From then on V8
 * collects the heap when it has doubled, not when it is four times as large: that saves tens of MB after a large listing.
 */
export function settleRuntime(): void {
  if (getCompileCacheDir() !== undefined) flushCompileCache()
  // not on the command line: Node's own modules that are loaded after it have to be compiled, as V8 refuses what came with them
  setFlagsFromString('--heap-growing-percent=100')
}
