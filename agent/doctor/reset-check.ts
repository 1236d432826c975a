import { fail, pass, type Check } from './doctor-check.ts'

/** A reset that was decided, and is not over, in words. */
export interface ResetFacts {
  readonly message: string
  readonly hint: string
}

/** Whether the next start would wipe the appliance, or refuse to start. `read` throws where that cannot be told. */
export function resetCheck(read: () => Promise<ResetFacts | undefined>): Check {
  return {
    id: 'reset',
    name: 'reset',
    withinMs: 5_000,
    run: async () => {
      const found = await read()
      return [found === undefined ? pass('none is unfinished') : fail(found.message, found.hint)]
    },
  }
}
