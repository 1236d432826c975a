import { join } from 'node:path'

import { writeFileAtomic } from '../../lib/atomic-file.ts'
import type { Log } from '../../lib/log.ts'

const maxLength = 800

/**
 * What a person in front of the appliance should know. `<runtime>/console-message` is shown on the console by
 * panorama-agent-console.path, where the image has that. A repetition is shown once.
 */
export class ConsoleMessage {
  readonly #path: string
  readonly #log: Log
  #last = ''

  constructor({ runtimeFolder, log }: { readonly runtimeFolder: string; readonly log: Log }) {
    this.#path = join(runtimeFolder, 'console-message')
    this.#log = log
  }

  /** Never rejects: the journal has it too. */
  async show(text: string): Promise<void> {
    const line = text.replace(/\s+/g, ' ').replace(/[^ -~]/g, '?')
    const shown = line.length > maxLength ? `${line.slice(0, maxLength)}...` : line
    if (shown === this.#last) return
    this.#last = shown
    await writeFileAtomic(this.#path, `panorama-agent: ${shown}\n`, { mode: 0o644 }).catch((error: unknown) => {
      this.#log.warn('the message for the console cannot be written', { error })
    })
  }
}
