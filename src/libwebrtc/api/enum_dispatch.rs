//! `enum_dispatch!`, which `livekit` uses to forward methods of an enum to its variants.

/// Writes methods that call the method of the same name on the value inside whichever variant there is.
///
/// The first argument lists the variants, the rest are method headers with an explicitly typed `self`.
#[macro_export]
macro_rules! enum_dispatch {
    ($variants:tt; $($visibility:vis fn $method:ident $parameters:tt -> $result:ty;)+) => {
        $($crate::enum_dispatch!(@method $variants $visibility $method $parameters $result);)+
    };
    (@method $variants:tt $visibility:vis $method:ident
        ($this:ident: $this_type:ty $(, $argument:ident: $argument_type:ty)*) $result:ty) => {
        #[inline]
        $visibility fn $method($this: $this_type $(, $argument: $argument_type)*) -> $result {
            $crate::enum_dispatch!(@body $variants $this $method ($($argument),*))
        }
    };
    (@body [$($variant:ident),+] $this:ident $method:ident $arguments:tt) => {
        match $this {
            $(Self::$variant(inner) => inner.$method $arguments,)+
        }
    };
}
