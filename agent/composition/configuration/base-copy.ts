import { isDeepStrictEqual } from 'node:util'

import { readCopy, writeBaseCopy, type BaseDocument } from '../../config/base-document.ts'
import type { Log } from '../../lib/log.ts'

/** The copy of the base file that stands in for it where it is at fault at a start. */
export class BaseCopy {
  readonly #file: string
  readonly #log: Log
  #copied: unknown

  constructor({ file, log }: { readonly file: string; readonly log: Log }) {
    this.#file = file
    this.#log = log
  }

  /** Finds out what is kept in a state folder. */
  async load(stateFolder: string): Promise<void> {
    this.#copied = (await readCopy(this.#file, stateFolder))?.document
  }

  /** Never rejects: a copy that cannot be kept is not missed until the base file is at fault. Not to be called twice at a time. */
  async keep(base: BaseDocument): Promise<void> {
    if (base.fault !== undefined || isDeepStrictEqual(base.document, this.#copied)) return
    try {
      await writeBaseCopy(this.#file, base)
      this.#copied = base.document
    } catch (error) {
      this.#log.warn('no copy of the base file can be kept', { error })
    }
  }
}
