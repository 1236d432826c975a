import * as z from 'zod'

export const absolutePath = z.string().regex(/^\/[^\0]*$/, 'must be an absolute path')
