import type * as z from 'zod'

import { camerasSection } from '../../agent/config/cameras-config.ts'
import type { Config } from '../../agent/config/config-schema.ts'

/** The cameras section of a configuration, with its defaults. */
export function camerasConfig(section: z.input<typeof camerasSection>): Config['cameras'] {
  return camerasSection.parse(section)
}
