// Stand-ins for what Android and LiteRT bring, with the signatures that the template uses, and a driver.
// The interpreter here adds up its inputs: the template is tested, not LiteRT.

package android.content

import android.content.res.AssetManager

open class Context(val assets: AssetManager)
