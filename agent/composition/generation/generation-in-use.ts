import type { Config } from '../../config/config-schema.ts'
import type { Generation } from './generation.ts'
import type { StatusDocument } from '../../status/status-document.ts'

/** The generation that runs at the moment, whichever that is by then. */
export interface GenerationInUse {
  readonly current: Generation
  readonly config: Config
  status(): StatusDocument
}
