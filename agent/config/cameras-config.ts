import * as z from 'zod'

import { absolutePath, fileName, groupName, hookName } from './config-text.ts'
import { uniqueNames } from './unique-names.ts'

const whenUnreachable = z.enum(['wait', 'swap'])

const certificateAuthority = absolutePath.describe(
  "A file with the root certificates, in PEM, that rtsps cameras are trusted by, in place of the system's.",
)

const camera = z.strictObject({
  name: fileName.describe('The file <runtime>/cameras/<name>.json.'),
  secretId: z.string().min(1).max(2048).describe('Name or full ARN of the secret.'),
  group: groupName
    .optional()
    .describe('Its members may read the file (0640). A group in /etc/group that the agent is in.'),
  probe: z
    .boolean()
    .default(true)
    .describe(
      'Whether a new credential is tried on the camera before it replaces the one in the file. Only where streamUrl is one of rtsp or rtsps.',
    ),
  whenUnreachable: whenUnreachable.optional().describe('In place of cameras.whenUnreachable.'),
  ca: certificateAuthority.optional(),
  hook: hookName.optional().describe('In place of cameras.hook.'),
})

/** The cameras and what they have in common. */
export const camerasSection = z
  .strictObject({
    refreshSeconds: z
      .int()
      .min(30)
      .max(86_400)
      .default(300)
      .describe('How often secrets are read, spread by up to a tenth so that a fleet does not act in step.'),
    whenUnreachable: whenUnreachable
      .default('wait')
      .describe(
        'What becomes of a new credential while the camera cannot be asked about it: wait keeps the one in the file and tries again at each refresh, swap replaces it.',
      ),
    ca: certificateAuthority.optional(),
    hook: hookName
      .optional()
      .describe(
        '/etc/panorama-agent/hooks/<hook> is run after files of cameras have changed. Root runs it: see REQUESTS TO ROOT.',
      ),
    streams: z.array(camera).max(1000).default([]).superRefine(uniqueNames),
  })
  .prefault({})
