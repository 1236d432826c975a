import { fail, pass, UnseenError, warn, type Check, type Outcome } from './doctor-check.ts'

/** What was found of the configuration before anything else could be. */
export interface ConfigurationFacts {
  /** Base file and overlay, for people. */
  readonly what: string
  /** The absolute path of the base file; none where an agent looks at itself. */
  readonly file?: string | undefined
  readonly faults: readonly PathMessage[]
  readonly warnings: readonly PathMessage[]
  /** What may not be read by whoever runs this, so that nothing is known of the configuration. */
  readonly unseen?: string | undefined
  /** What a fault leads to, as a clause. */
  readonly fallback?: string | undefined
}

interface PathMessage {
  /** Such as `artifacts[0].prefix`; empty for the whole file. */
  readonly path: string
  readonly message: string
  readonly hint?: string
}

const shownFaults = 20

/** `isServiceUser`: whether whoever runs this is who the agent runs as, so that what it may not read the agent may not read. */
export function configurationCheck(
  { what, faults, warnings, fallback, unseen }: ConfigurationFacts,
  isServiceUser: (signal: AbortSignal) => Promise<boolean>,
): Check {
  return {
    id: 'configuration',
    name: 'configuration',
    withinMs: 8_000,
    run: async (signal) => {
      if (unseen !== undefined && !(await isServiceUser(signal))) throw new UnseenError(unseen)
      if (faults.length === 0 && warnings.length === 0) return [pass(`${what} has no fault`)]
      const hint = 'mend it; /usr/share/panorama-agent/agent.schema.json describes every field'
      const outcomes: Outcome[] = [
        ...faults.slice(0, shownFaults).map((each) => fail(`${what}: ${pathText(each)}`, each.hint ?? hint)),
        ...(faults.length > shownFaults
          ? [fail(`${faults.length - shownFaults} more faults`, 'panorama-agent config check')]
          : []),
        ...(fallback === undefined ? [] : [warn(fallback)]),
        ...warnings.map((each) => warn(`${what}: ${pathText(each)}`)),
      ]
      return outcomes
    },
  }
}

function pathText({ path, message }: PathMessage): string {
  return path === '' ? message : `${path} ${message}`
}
