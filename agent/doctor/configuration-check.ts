import { fail, pass, UnseenError, warn, type Check, type Outcome } from './doctor-check.ts'

/** What was found of the configuration before anything else could be. */
export interface ConfigurationFacts {
  /** Base file and overlay, for people. */
  readonly what: string
  readonly faults: readonly PathMessage[]
  readonly warnings: readonly PathMessage[]
  /** Whether it may not be read by whoever runs this, so that nothing is known of it. */
  readonly isUnseen?: boolean
  /** What a fault leads to, as a clause. */
  readonly fallback?: string | undefined
}

interface PathMessage {
  /** Such as `artifacts[0].prefix`; empty for the whole file. */
  readonly path: string
  readonly message: string
}

const shownFaults = 20

export function configurationCheck({ what, faults, warnings, fallback, isUnseen = false }: ConfigurationFacts): Check {
  return {
    id: 'configuration',
    name: 'configuration',
    withinMs: 1_000,
    run: () => {
      if (isUnseen) return Promise.reject(new UnseenError(what))
      if (faults.length === 0 && warnings.length === 0) return Promise.resolve([pass(`${what} has no fault`)])
      const hint = 'mend it; /usr/share/panorama-agent/agent.schema.json describes every field'
      const outcomes: Outcome[] = [
        ...faults.slice(0, shownFaults).map((each) => fail(`${what}: ${pathText(each)}`, hint)),
        ...(faults.length > shownFaults
          ? [fail(`${faults.length - shownFaults} more faults`, 'panorama-agent config check')]
          : []),
        ...(fallback === undefined ? [] : [warn(fallback)]),
        ...warnings.map((each) => warn(`${what}: ${pathText(each)}`)),
      ]
      return Promise.resolve(outcomes)
    },
  }
}

function pathText({ path, message }: PathMessage): string {
  return path === '' ? message : `${path} ${message}`
}
